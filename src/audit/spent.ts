import type { Queryable } from '../platform/database.ts';

/** Long after the last spend that it could tell of has become final anyway. */
const FORGET_WRITERS_AFTER = '1 day';

/**
 * Removes at most `limit` spends of credentials that have expired by themselves, and the marks of processes that are
 * long gone; returns how many spends.
 */
export async function removeExpiredSpent(
  db: Queryable,
  { now, limit = 1_000 }: { now: Date; limit?: number },
): Promise<number> {
  const { rowCount } = await db.query(
    `delete from spent where digest in (select digest from spent where expires_at < $1 limit $2)`,
    [now, limit],
  );
  await db.query(`delete from audit_writers where seen_at < now() - interval '${FORGET_WRITERS_AFTER}'`);
  return rowCount;
}
