import type { Queryable } from '../platform/database.ts';

const MONTHS_AHEAD = 3;

/**
 * Makes the partitions of this month and the next three, moving along what fell into the default partition meanwhile.
 * Never a condition for writing: the default partition takes what has no other place.
 *
 * @returns how many were made
 * @throws when a lock could not be had at once; nothing is lost, try again later
 */
export async function ensurePartitions(db: Queryable, now: Date): Promise<number> {
  const { rows } = await db.query<{ made: number }>('select audit_ensure_partitions($1, $2) as made', [
    now,
    MONTHS_AHEAD,
  ]);
  return rows[0]?.made ?? 0;
}
