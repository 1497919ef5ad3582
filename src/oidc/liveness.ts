import { consentKey, type RevocationList } from '../audit/revocations.ts';
import { type Clock, epochSeconds } from '../platform/clock.ts';
import { digest } from '../platform/ids.ts';
import type { Model, StoredPayload } from './store/port.ts';

/** Whether what the store remembers was revoked: by itself, or with anything that it stands on. */
export type IsDead = (model: Model, id: string, payload: StoredPayload) => boolean;

export function createIsDead({
  revocations,
  clock,
}: {
  revocations: Pick<RevocationList, 'isRevoked'>;
  clock: Clock;
}): IsDead {
  return (model, id, payload) =>
    revocations.isRevoked({
      tokenId: digest(id),
      grantId: text(model === 'Grant' ? id : payload['grantId']),
      sessionUid: text(sessionUidOf(model, payload)),
      accountId: text(payload['accountId']),
      issuedAt: new Date(issuedAtSeconds(payload, clock) * 1000),
    }) ||
    // The authority of a client or an API is that of its registration, not of the person's sign-in. A consent is given
    // with the grant, on which everything else stands.
    revocations.isRevoked({
      clientId: text(payload['clientId']),
      api: text(payload['aud']),
      consent: model === 'Grant' ? consentIn(payload) : undefined,
      issuedAt: new Date(Number(payload['iat'] ?? epochSeconds(clock)) * 1000),
    });
}

function consentIn(payload: StoredPayload): string | undefined {
  const [sub, clientId] = [text(payload['accountId']), text(payload['clientId'])];
  return sub === undefined || clientId === undefined ? undefined : consentKey({ sub, clientId });
}

function sessionUidOf(model: Model, payload: StoredPayload): unknown {
  if (model === 'Session') return payload['uid'];
  return payload['expiresWithSession'] ? payload['sessionUid'] : undefined;
}

/** When the authority behind a payload was given: at the sign-in, where there was one, else when it was issued. */
function issuedAtSeconds(payload: StoredPayload, clock: Clock): number {
  return Number(payload['loginTs'] ?? payload['authTime'] ?? payload['iat'] ?? epochSeconds(clock));
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
