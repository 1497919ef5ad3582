import { systemClock, type Clock } from '../platform/clock.ts';
import type { Queryable } from '../platform/database.ts';
import { currentRequest } from '../platform/request-context.ts';
import type { AuditEvent } from './events.ts';
import { buildRow } from './row.ts';

/**
 * Appends the event in the caller's own transaction: it is durable exactly if the change it tells of is. The row stays
 * unlinked (seq is null) until the writer links it with its next flush, a second later at most: a subject that took
 * the chain head's lock would stall every token for as long as its transaction lasts.
 *
 * Request id, address and user agent are those of the request under way, if any.
 *
 * @throws Error when the payload is not what the schema of its type allows
 */
export async function appendInTransaction(
  tx: Queryable,
  event: AuditEvent,
  { clock = systemClock }: { clock?: Clock } = {},
): Promise<void> {
  const row = buildRow(event, currentRequest() ?? {}, clock.now());
  await tx.query(
    `insert into audit_events (
       id, at, type, outcome, actor_kind, actor_id, account_id, client_id, session_uid, grant_id, request_id,
       payload, personal, personal_salt, personal_digest
     ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
    [
      row.id,
      row.at,
      row.type,
      row.outcome,
      row.actorKind,
      row.actorId,
      row.accountId,
      row.clientId,
      row.sessionUid,
      row.grantId,
      row.requestId,
      row.payload,
      row.personal,
      row.personalSalt,
      row.personalDigest,
    ],
  );
}
