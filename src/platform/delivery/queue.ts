/**
 * Queues of what applications are to be told, one table each, with the columns `id`, `client_id`, `attempts`,
 * `next_attempt_at`, `gives_up_at`, `leased_until` and `lease_id`. One process at a time has a row: it leases it, tries,
 * and settles it; a process that dies leaves it to the next one.
 *
 * Whose queue it is, what is sent and what is recorded of it is the owner's business.
 */
import type { Database, Queryable } from '../database.ts';
import { uuidv7 } from '../ids.ts';
import type { Outcome } from './outcome.ts';

/** Where a queue lives. The names are of this list, so they may stand in a statement. */
export type QueueTable = 'logout_notices' | 'approval_pings';

export interface QueueRow {
  id: string;
  client_id: string;
  attempts: number;
  gives_up_at: Date;
}

/** Rows that are due and nobody else is delivering: the caller has them until the lease ends. */
export async function leaseDue<Row extends QueueRow>(
  db: Database,
  table: QueueTable,
  { now, limit, leaseSeconds }: { now: Date; limit: number; leaseSeconds: number },
): Promise<{ leaseId: string; rows: Row[] }> {
  const leaseId = uuidv7(now);
  const { rows } = await db.query<Row>(
    `update ${table} set leased_until = $2, lease_id = $3
      where id in (
        select id from ${table}
         where next_attempt_at <= $1 and (leased_until is null or leased_until <= $1)
         order by next_attempt_at, id limit $4 for update skip locked
      )
     returning *`,
    [now, new Date(now.getTime() + leaseSeconds * 1000), leaseId, limit],
  );
  return { leaseId, rows };
}

/** @returns whether the caller still had the row; where not, its outcome is somebody else's to record */
export async function settleLeased(
  tx: Queryable,
  table: QueueTable,
  { id, leaseId }: { id: string; leaseId: string },
  outcome: Outcome,
): Promise<boolean> {
  const { rowCount } =
    outcome.kind === 'later'
      ? await tx.query(
          `update ${table}
              set attempts = attempts + 1, next_attempt_at = $3, leased_until = null, lease_id = null
            where id = $1 and lease_id = $2`,
          [id, leaseId, outcome.nextAttemptAt],
        )
      : await tx.query(`delete from ${table} where id = $1 and lease_id = $2`, [id, leaseId]);
  return rowCount > 0;
}

/**
 * Puts off what else is due at an application that cannot be reached, so that its queue does not keep the others from
 * theirs; it is not counted as an attempt.
 */
export async function putOff(db: Database, table: QueueTable, clientId: string, until: Date): Promise<void> {
  await db.query(
    `update ${table} set next_attempt_at = $2
      where client_id = $1 and next_attempt_at < $2 and leased_until is null`,
    [clientId, until],
  );
}
