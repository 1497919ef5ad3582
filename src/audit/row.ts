import { uuidv7, randomToken } from '../platform/ids.ts';
import { canonicalTime, personalDigest, storable, type ChainedFields } from './chain.ts';
import { splitPayload, type Actor, type AuditEvent } from './events.ts';

/** A row ready to be inserted: all but its place in the chain. */
export interface EventRow extends ChainedFields {
  personal: Record<string, unknown> | null;
  personalSalt: string | null;
}

interface RowContext {
  requestId?: string | undefined;
  ip?: string | undefined;
  userAgent?: string | undefined;
}

export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** @throws Error when the payload is not what the schema of its type allows */
export function buildRow(event: AuditEvent, { requestId, ip, userAgent }: RowContext, now: Date): EventRow {
  const split = splitPayload(event);
  if (event.accountId !== undefined && !UUID.test(event.accountId))
    throw new Error(`The accountId of audit event ${event.type} is not a UUID`);
  const personal = storable({
    ...split.personal,
    ...(ip === undefined ? {} : { ip }),
    ...(userAgent === undefined ? {} : { user_agent: userAgent.slice(0, 500) }),
  }) as Record<string, unknown>;
  const salt = Object.keys(personal).length > 0 ? randomToken(16) : null;
  return {
    id: uuidv7(now),
    at: canonicalTime(now),
    type: event.type,
    outcome: event.outcome,
    actorKind: event.actor?.kind ?? null,
    actorId: plain(event.actor && actorId(event.actor)),
    accountId: event.accountId?.toLowerCase() ?? null,
    clientId: plain(event.clientId),
    sessionUid: plain(event.sessionUid),
    grantId: plain(event.grantId),
    requestId: plain(requestId),
    payload: storable(split.payload),
    personal: salt === null ? null : personal,
    personalSalt: salt,
    personalDigest: salt === null ? null : personalDigest(salt, personal),
  };
}

function actorId(actor: Actor): string {
  return actor.kind === 'operator' || actor.kind === 'system' ? actor.name : actor.id;
}

function plain(text: string | undefined): string | null {
  return text === undefined ? null : (storable(text) as string);
}

/** The columns that the chain covers, as they are stored. */
export interface ChainedColumns {
  id: string;
  at: string;
  type: string;
  outcome: string;
  actor_kind: string | null;
  actor_id: string | null;
  account_id: string | null;
  client_id: string | null;
  session_uid: string | null;
  grant_id: string | null;
  request_id: string | null;
  payload: unknown;
  personal_digest: string | null;
}

/** The select list of `ChainedColumns`. The time as text: a Date would drop the microseconds. */
export const FIELDS = `id, to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, type, outcome,
  actor_kind, actor_id, account_id, client_id, session_uid, grant_id, request_id, payload, personal_digest`;

export function toChainedFields(row: ChainedColumns): ChainedFields {
  return {
    id: row.id,
    at: row.at,
    type: row.type,
    outcome: row.outcome,
    actorKind: row.actor_kind,
    actorId: row.actor_id,
    accountId: row.account_id,
    clientId: row.client_id,
    sessionUid: row.session_uid,
    grantId: row.grant_id,
    requestId: row.request_id,
    payload: row.payload,
    personalDigest: row.personal_digest,
  };
}
