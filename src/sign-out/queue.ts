import { appendInTransaction } from '../audit/append.ts';
import type { AuditEvent } from '../audit/events.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { uuidv7 } from '../platform/ids.ts';
import type { Notice } from './notice.ts';
import type { Outcome } from './outcome.ts';

export interface LeasedNotice extends Notice {
  leaseId: string;
}

interface NoticeRow {
  id: string;
  client_id: string;
  account_id: string | null;
  sub: string;
  sid: string | null;
  session_uid: string | null;
  attempts: number;
  gives_up_at: Date;
}

/** Notices that are due and nobody else is delivering: the caller has them until the lease ends. */
export async function leaseDue(
  db: Database,
  { now, limit, leaseSeconds }: { now: Date; limit: number; leaseSeconds: number },
): Promise<LeasedNotice[]> {
  const leaseId = uuidv7(now);
  const { rows } = await db.query<NoticeRow>(
    `update logout_notices set leased_until = $2, lease_id = $3
      where id in (
        select id from logout_notices
         where next_attempt_at <= $1 and (leased_until is null or leased_until <= $1)
         order by next_attempt_at, id limit $4 for update skip locked
      )
     returning *`,
    [now, new Date(now.getTime() + leaseSeconds * 1000), leaseId, limit],
  );
  return rows.map((row) => toNotice(row, leaseId));
}

function toNotice(row: NoticeRow, leaseId: string): LeasedNotice {
  return {
    id: row.id,
    leaseId,
    clientId: row.client_id,
    sub: row.sub,
    attempts: row.attempts,
    givesUpAt: row.gives_up_at,
    ...(row.account_id === null ? {} : { accountId: row.account_id }),
    ...(row.sid === null ? {} : { sid: row.sid }),
    ...(row.session_uid === null ? {} : { sessionUid: row.session_uid }),
  };
}

/** Records the outcome and settles the notice by it, in one transaction; nothing where the lease was lost. */
export async function settle(
  { db, clock }: { db: Database; clock: Clock },
  notice: LeasedNotice,
  outcome: Outcome,
): Promise<void> {
  await db.transaction(async (tx) => {
    const held = [notice.id, notice.leaseId];
    const { rowCount } =
      outcome.kind === 'later'
        ? await tx.query(
            `update logout_notices
                set attempts = attempts + 1, next_attempt_at = $3, leased_until = null, lease_id = null
              where id = $1 and lease_id = $2`,
            [...held, outcome.nextAttemptAt],
          )
        : await tx.query('delete from logout_notices where id = $1 and lease_id = $2', held);
    if (rowCount === 0) return;
    await appendInTransaction(tx, eventOf(notice, outcome), { clock });
  });
}

/**
 * Puts off what else is due at an application that cannot be reached, so that its queue does not keep the others from
 * theirs; it is not counted as an attempt.
 */
export async function putOff(db: Database, clientId: string, until: Date): Promise<void> {
  await db.query(
    `update logout_notices set next_attempt_at = $2
      where client_id = $1 and next_attempt_at < $2 and leased_until is null`,
    [clientId, until],
  );
}

function eventOf(notice: LeasedNotice, outcome: Outcome): AuditEvent {
  const attempt = notice.attempts + 1;
  const of = {
    clientId: notice.clientId,
    accountId: notice.accountId,
    sessionUid: notice.sessionUid,
    actor: { kind: 'system', name: 'sign-out' },
  } as const;
  switch (outcome.kind) {
    case 'delivered':
      return {
        type: 'logout_notice.delivered',
        outcome: 'success',
        ...of,
        payload: { attempt, status: outcome.status },
      };
    case 'refused':
      return {
        type: 'logout_notice.refused',
        outcome: 'failure',
        ...of,
        payload: { attempt, status: outcome.status },
      };
    case 'later':
      return {
        type: 'logout_notice.failed',
        outcome: 'failure',
        ...of,
        payload: { attempt, reason: outcome.reason, next_attempt_at: outcome.nextAttemptAt.toISOString() },
      };
    default:
      return {
        type: 'logout_notice.given_up',
        outcome: 'failure',
        ...of,
        payload: { attempt, reason: outcome.reason },
      };
  }
}
