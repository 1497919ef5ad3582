import type { Connection } from '../platform/connection.ts';
import type { PreparedBatch } from './batch.ts';
import { canonicalForm } from './chain.ts';
import { isServerError, revocationColumns, spentColumns, type CommitOutcome } from './flush.ts';
import { subjectsOf } from './judge.ts';
import type { EventRow } from './row.ts';

/*
 * A flush in one call: nearly always the database holds nothing that the verdicts depend on, nothing spent before and
 * nothing revoked since, and then it can lock the head, link, write and commit without hearing from us in between. Nobody
 * waits for the head while this process is busy with something else, and several processes get along.
 *
 * The call (migrations/0023_audit_flush.sql) declines where it finds something; then flush.ts reads what, and judges.
 */

/** Declined: nothing was written, the database holds something that has to be judged. */
type AtOnceOutcome = CommitOutcome | { kind: 'declined' };

/** For each lock: as a rule sooner than the caller gives up, so that it hears of it. */
const PATIENCE_SHARE = 0.9;

/**
 * Writes the batches, none of which may stand against another (judge.ts). Throws only where nothing was sent.
 *
 * @param isLinkDue whether to decline where subjects have appended rows that wait for a link
 */
export async function flushAtOnce(
  connection: Connection,
  {
    batches,
    writerId,
    flush,
    isLinkDue,
    timeoutMs,
  }: {
    batches: readonly PreparedBatch[];
    writerId: string;
    flush: number;
    isLinkDue: boolean;
    timeoutMs: number;
  },
): Promise<AtOnceOutcome> {
  const events = batches.flatMap(({ rows }) => rows.map(eventJson));
  const spent = spentColumns(batches);
  const revocations = revocationColumns(batches);
  const required = batches.flatMap(({ requireLive }) =>
    requireLive.flatMap((subject) =>
      subjectsOf(subject).map(({ kind, id }) => ({ kind, id, issuedAt: subject.issuedAt })),
    ),
  );
  try {
    const { rows } = await connection.query<{ is_written: boolean }>(
      'select audit_flush($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) as is_written',
      [
        `[${events.join(',')}]`,
        spent.length === 0 ? null : JSON.stringify(spent),
        revocations.length === 0 ? null : JSON.stringify(revocations),
        required.map(({ kind }) => kind),
        required.map(({ id }) => id),
        required.map(({ issuedAt }) => issuedAt),
        writerId,
        flush,
        isLinkDue,
        Math.max(1, Math.floor(timeoutMs * PATIENCE_SHARE)),
      ],
      { name: 'audit_flush' },
    );
    return { kind: rows[0]?.is_written === true ? 'committed' : 'declined' };
  } catch (error) {
    const isRefused = isServerError(error) && (await answers(connection));
    return { kind: isRefused ? 'failed' : 'ambiguous', error };
  }
}

/**
 * Whether the session goes on, so that an error of it was its last word on the call: nothing was written. A server, or
 * a pooler before it, that ends the session with an error may have committed.
 */
async function answers(connection: Connection): Promise<boolean> {
  return connection.query('select 1').then(
    () => true,
    () => false,
  );
}

/** As `audit_flush` takes it. What the hash covers stands there to the letter: the database hashes and stores that. */
function eventJson(row: EventRow): string {
  return `[${canonicalForm(row)},${JSON.stringify(row.personal)},${JSON.stringify(row.personalSalt)}]`;
}
