import { appendInTransaction } from '../audit/append.ts';
import type { AuditEvent } from '../audit/events.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import type { Outcome } from '../platform/delivery/outcome.ts';
import { type QueueRow, settleLeased } from '../platform/delivery/queue.ts';
import type { Notice } from './notice.ts';

export interface NoticeRow extends QueueRow {
  account_id: string | null;
  sub: string;
  sid: string | null;
  session_uid: string | null;
}

export function toNotice(row: NoticeRow): Notice {
  return {
    id: row.id,
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
  notice: Notice,
  { leaseId, outcome }: { leaseId: string; outcome: Outcome },
): Promise<void> {
  await db.transaction(async (tx) => {
    const isOurs = await settleLeased(tx, 'logout_notices', { id: notice.id, leaseId }, outcome);
    if (isOurs) await appendInTransaction(tx, eventOf(notice, outcome), { clock });
  });
}

function eventOf(notice: Notice, outcome: Outcome): AuditEvent {
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
