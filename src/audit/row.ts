import { uuidv7, randomToken } from '../platform/ids.ts';
import { canonicalTime, personalDigest, storable, type ChainedFields } from './chain.ts';
import { splitPayload, type Actor, type AuditEvent } from './events.ts';

/** A row ready to be inserted: all but its place in the chain. */
export interface EventRow extends ChainedFields {
  personal: Record<string, unknown> | null;
  personalSalt: string | null;
}

export interface RowContext {
  requestId?: string | undefined;
  ip?: string | undefined;
  userAgent?: string | undefined;
}

/** @throws Error when the payload is not what the schema of its type allows */
export function buildRow(event: AuditEvent, { requestId, ip, userAgent }: RowContext, now: Date): EventRow {
  const split = splitPayload(event);
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
    accountId: event.accountId ?? null,
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
