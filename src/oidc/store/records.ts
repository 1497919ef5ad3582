import { isDeepStrictEqual } from 'node:util';

import { digest } from '../../platform/ids.ts';
import type { Sealer } from '../../platform/seal.ts';
import type { Model, SessionAuthorizations, StoredPayload } from './port.ts';

/** Tokens that fall with their grant. */
const GRANT_BOUND: ReadonlySet<Model> = new Set<Model>([
  'AccessToken',
  'AuthorizationCode',
  'RefreshToken',
  'DeviceCode',
  'BackchannelAuthenticationRequest',
  'PreAuthorizedCode',
]);

/**
 * Payloads that name other usable values: an interaction holds the session's cookie, the device code and, in
 * `returnTo`, its own id; a device code is found by its user code and then has to know itself; a
 * backchannel request holds the token that its client is notified with. They are sealed whole.
 */
const SEALED: ReadonlySet<Model> = new Set<Model>([
  'Interaction',
  'DeviceCode',
  'BackchannelAuthenticationRequest',
]);

/** What is written: nothing in it can be presented to us. */
export interface StoredRecord {
  idDigest: string;
  body: object;
  grantDigest?: string;
  /** Of the session that it ends with. */
  uidDigest?: string;
  userCodeDigest?: string;
}

/** Where a payload is kept. The model is part of it, so an id of one kind never finds another. */
export function idDigestOf(model: Model, id: string): string {
  return digest(model, id);
}

export function grantDigestOf(grantId: string): string {
  return idDigestOf('Grant', grantId);
}

export function uidDigestOf(uid: string): string {
  return digest('uid', uid);
}

export function userCodeDigestOf(userCode: string): string {
  return digest('user code', userCode);
}

export function toRecord(sealer: Sealer, model: Model, id: string, payload: StoredPayload): StoredRecord {
  const { jti: _jti, consumed: _consumed, ...kept } = payload;
  const { grantId, userCode } = payload;
  const idDigest = idDigestOf(model, id);
  const { sessionUid } = standsOn(payload);
  return {
    idDigest,
    body: SEALED.has(model)
      ? { sealed: sealer.seal(JSON.stringify({ ...kept, jti: id }), sealingContext(model, idDigest)) }
      : kept,
    ...(GRANT_BOUND.has(model) && typeof grantId === 'string' ? { grantDigest: grantDigestOf(grantId) } : {}),
    ...(sessionUid === undefined ? {} : { uidDigest: uidDigestOf(sessionUid) }),
    ...(model === 'DeviceCode' && typeof userCode === 'string'
      ? { userCodeDigest: userCodeDigestOf(userCode) }
      : {}),
  };
}

/**
 * The payload as it was given to `toRecord`.
 *
 * @param found.id what was asked for, where it was asked by id: it becomes `jti` again
 * @param found.spentAt when the mark that counts now was set
 */
export function toPayload(
  sealer: Sealer,
  model: Model,
  found: { idDigest: string; body: object; id?: string; spentAt?: Date | undefined },
): StoredPayload {
  const { sealed } = found.body as { sealed?: unknown };
  const payload =
    SEALED.has(model) && typeof sealed === 'string'
      ? (JSON.parse(sealer.open(sealed, sealingContext(model, found.idDigest)).toString()) as StoredPayload)
      : { ...found.body };
  return {
    ...payload,
    ...(found.id === undefined ? {} : { jti: found.id }),
    ...(found.spentAt ? { consumed: Math.floor(found.spentAt.getTime() / 1000) } : {}),
  };
}

/** What a token's validity depends on beside itself. */
export function standsOn(token: StoredPayload): {
  grantId: string | undefined;
  sessionUid: string | undefined;
} {
  const { grantId, sessionUid, expiresWithSession } = token;
  return {
    grantId: typeof grantId === 'string' ? grantId : undefined,
    sessionUid: expiresWithSession && typeof sessionUid === 'string' ? sessionUid : undefined,
  };
}

function sealingContext(model: Model, idDigest: string): string {
  return `oidc:${model}:${idDigest}`;
}

/** A session without its authorizations, and what this request changed in them. */
export function splitSession(
  payload: StoredPayload,
  baseline: SessionAuthorizations = {},
): { uid: string; rest: StoredPayload; granted: SessionAuthorizations; withdrawn: string[] } {
  const { authorizations, ...rest } = payload;
  if (typeof rest['uid'] !== 'string') throw new TypeError('a session needs a uid');
  const current = (authorizations ?? {}) as SessionAuthorizations;
  // The provider adds an empty object for each client it merely asks about: that is not an authorization.
  const granted = Object.entries(current).filter(
    ([clientId, state]) => Object.keys(state).length > 0 && !isDeepStrictEqual(state, baseline[clientId]),
  );
  return {
    uid: rest['uid'],
    rest,
    granted: Object.fromEntries(granted),
    withdrawn: Object.keys(baseline).filter((clientId) => !Object.hasOwn(current, clientId)),
  };
}

/** A session and its authorizations; the property is absent while there are none, as the provider has it. */
export function joinSession(rest: StoredPayload, authorizations: SessionAuthorizations): StoredPayload {
  return Object.keys(authorizations).length > 0 ? { ...rest, authorizations } : rest;
}

/** Of the payloads that ids of one session hold, the one that speaks for it: the latest sign-in, then the latest save. */
export function latestSession<T extends { payload: StoredPayload; expiresAt: number }>(
  candidates: readonly T[],
): T | undefined {
  const signedInAt = ({ payload }: T): number => Number(payload['loginTs'] ?? 0);
  return candidates.toSorted((a, b) => signedInAt(b) - signedInAt(a) || b.expiresAt - a.expiresAt)[0];
}
