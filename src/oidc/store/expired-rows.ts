import type { Clock } from '../../platform/clock.ts';
import type { Queryable } from '../../platform/database.ts';

/** Each has an index on `expires_at`. The authorizations of a session go with it. */
const TABLES = ['oidc_payloads', 'oidc_sessions', 'oidc_marks', 'oidc_answers', 'oidc_polls'] as const;

/**
 * Deletes what has expired, in small batches, so that no request waits long for a lock; rows that somebody holds are
 * left for the next run. Several processes may run it at once.
 *
 * @param maxBatches the most batches for each table
 * @returns how many rows were deleted; `isDone` is false when there may be more
 */
export async function removeExpired({
  db,
  clock,
  batchSize = 1_000,
  maxBatches = 100,
}: {
  db: Queryable;
  clock: Clock;
  batchSize?: number;
  maxBatches?: number;
}): Promise<{ removed: number; isDone: boolean }> {
  let removed = 0;
  let isDone = true;
  for (const table of TABLES) {
    let lastBatch = batchSize;
    for (let batch = 0; batch < maxBatches && lastBatch === batchSize; batch += 1) {
      // oxlint-disable-next-line no-await-in-loop -- one batch after another is the point
      lastBatch = await removeBatch(db, table, clock.now(), batchSize);
      removed += lastBatch;
    }
    if (lastBatch === batchSize) isDone = false;
  }
  return { removed, isDone };
}

async function removeBatch(
  db: Queryable,
  table: (typeof TABLES)[number],
  now: Date,
  batchSize: number,
): Promise<number> {
  const { rowCount } = await db.query(
    `delete from ${table} where ctid = any(array(
       select ctid from ${table} where expires_at <= $1 order by expires_at limit $2 for update skip locked
     ))`,
    [now, batchSize],
  );
  return rowCount;
}
