import type { Connection } from '../platform/connection.ts';
import type { PreparedBatch } from './batch.ts';
import { writeAndCommit, type CommitOutcome, type Head } from './flush.ts';
import { buildRow, type EventRow } from './row.ts';

/*
 * What becomes of a flush whose connection was lost after it had been sent. It may be durable or not, and its requests
 * wait. Three rules keep both promises, that no credential has two successors and that no honest client is locked out
 * by our outage:
 *
 * 1. Whoever holds the chain head's lock knows: the lost transaction held it too, so it has ended, and its rows are
 *    there or not; or it has not had the lock yet. The writer asks as soon as it reaches the database again, before any
 *    other flush. Durable and the requests still wait: they are answered as if nothing had happened. Not durable: the
 *    writer says that it knows the outcome of that flush, after which the flush writes nothing any more should it get
 *    the lock only then (rule 3), and flushes again.
 * 2. If that takes longer than a request may wait, the requests are refused (503) and their callers undo what they
 *    did. From then on nothing of that flush will ever be delivered. When it turns out to be durable all the same, the
 *    writer takes its spends back, so that the retry succeeds, and records `token.withheld`: whatever those requests'
 *    records say was issued never left the server. This happens before the next flush of this process.
 * 3. Another process may meet such a spend before it has been taken back. Each spent row therefore names its writer
 *    and flush, and `audit_writers` says up to which flush a writer knows the outcome. A spend of an unsettled flush is
 *    undecided: the request waits a moment for the writer to settle or take back, then is told to retry (503). A writer
 *    that crashed never settles; it may have delivered, so its spends become final once they are old enough and the
 *    asking process itself has had a sound connection for long enough that a living writer would have spoken.
 */

/** Above the longest time that passes between a flush's begin and the refusal of its requests. */
export const ORPHAN_AFTER_MS = 10_000;
/** A living writer speaks within its probe period once the database is back; this is several of them. */
export const SOUND_CONNECTION_MS = 2_000;

/** A flush of unknown outcome. */
export interface UnknownFlush {
  flush: number;
  batches: readonly PreparedBatch[];
  /** The rows that tell of withholding. Made once, so that doing it twice shows. */
  withheld: readonly EventRow[];
}

export function createUnknownFlush(
  flush: number,
  batches: readonly PreparedBatch[],
  now: Date,
): UnknownFlush {
  return {
    flush,
    batches,
    withheld: batches.map(({ requestId, rows, spent }) =>
      buildRow(
        {
          type: 'token.withheld',
          outcome: 'failure',
          actor: { kind: 'system', name: 'audit' },
          clientId: rows.find(({ clientId }) => clientId !== null)?.clientId ?? undefined,
          payload: { request_id: requestId, events: rows.map(({ id }) => id), spends: spent.length },
        },
        { requestId },
        now,
      ),
    ),
  };
}

/** Whether the flush became durable. Only true to ask under the chain head's lock. */
export async function isDurable(connection: Connection, { batches }: UnknownFlush): Promise<boolean> {
  const row = batches.flatMap(({ rows }) => rows)[0];
  if (row) return hasRow(connection, row);
  const spend = batches.flatMap(({ spent }) => spent)[0];
  if (spend)
    return exists(connection, 'select 1 from spent where digest = $1 and spend_id = $2', [
      spend.digest,
      spend.spendId,
    ]);
  const revocation = batches.flatMap(({ revocations }) => revocations)[0];
  if (revocation) return exists(connection, 'select 1 from revocations where id = $1', [revocation.rowId]);
  return false;
}

/** Takes the spends of a refused flush back and records that nothing of it was delivered. Ends the transaction. */
export async function takeBack(
  connection: Connection,
  { head, unknown, writerId }: { head: Head; unknown: UnknownFlush; writerId: string },
): Promise<CommitOutcome> {
  const first = unknown.withheld[0];
  if (first && (await hasRow(connection, first))) {
    await connection.query('rollback');
    return { kind: 'committed' };
  }
  const spent = unknown.batches.flatMap((batch) => batch.spent);
  const results = await Promise.all([
    connection.query(
      `delete from spent where (digest, spend_id) in (select * from unnest($1::text[], $2::uuid[]))`,
      [spent.map(({ digest }) => digest), spent.map(({ spendId }) => spendId)],
    ),
    settle(connection, writerId, unknown.flush),
    writeAndCommit(connection, {
      facts: { head, spent: [], revoked: [], unlinked: [] },
      batches: [
        { rows: unknown.withheld, spent: [], revocations: [], requireLive: [], requestId: undefined },
      ],
      writerId,
      flush: unknown.flush,
    }),
  ]);
  return results[2];
}

/** Says that this writer knows the outcome of all its flushes up to this one. Never unsaid, however late this comes. */
export async function settle(connection: Connection, writerId: string, flush: number): Promise<void> {
  await connection.query(
    `insert into audit_writers (id, settled_flush) values ($1, $2)
     on conflict (id) do update
     set settled_flush = greatest(audit_writers.settled_flush, excluded.settled_flush), seen_at = now()`,
    [writerId, flush],
    { name: 'audit_settle' },
  );
}

function hasRow(connection: Connection, { id, at }: EventRow): Promise<boolean> {
  return exists(connection, 'select 1 from audit_events where id = $1 and at = $2', [id, at]);
}

async function exists(connection: Connection, text: string, values: unknown[]): Promise<boolean> {
  const { rows } = await connection.query(text, values);
  return rows.length > 0;
}
