/**
 * Between the library's idea of storage and ours. It owns the single-use promise on this side of the store:
 *
 * - Spending is a compare-and-set that *throws* for whoever loses, and is judged once more by PostgreSQL when the
 *   record is written (see audit/). Losing a code revokes its grant, always; losing a refresh token within the retry
 *   window is an honest retry, later it is theft.
 * - Nothing is deleted before the record of it is durable: deletions wait for the unit of work's commit. What was
 *   written is taken back where the commit fails.
 * - What is revoked is never found, whatever the store remembers.
 *
 * Storage itself lives in store/; what is recorded, in events.ts.
 */
import { type Adapter, type AdapterPayload, errors, Provider } from 'oidc-provider';

import { isRevokedConflict, isSpendConflict } from '../audit/errors.ts';
import type { RevocationList } from '../audit/revocations.ts';
import { currentUnitOfWork, type UnitOfWork } from '../audit/unit-of-work.ts';
import { type Clock, epochSeconds } from '../platform/clock.ts';
import { AppError } from '../platform/errors.ts';
import { digest } from '../platform/ids.ts';
import { detailsForRecord } from './authorization-details.ts';
import { createDeviceCodeSaving } from './device-codes.ts';
import { HonestRetry, orTemporarilyUnavailable, temporarilyUnavailable } from './errors.ts';
import { requireConsent } from './grants.ts';
import { createIsDead } from './liveness.ts';
import { findAnswer, LEASE_SECONDS, rememberRefresh } from './refresh-answers.ts';
import { createSessionSaving } from './session-saving.ts';
import { createAttemptToSpend } from './spending.ts';
import { createStandingReads, isStanding } from './standing-reads.ts';
import type { Model, OidcStore, Spending, StoredPayload } from './store/port.ts';
import type { StructuredTokens } from './structured-tokens.ts';
import { createStanding, withExchange } from './token-exchange/authority.ts';
import { mayBe } from './token-ids.ts';

/** How often a retry looks whether the first request has its answer. */
const PENDING_POLL_MS = 25;

export interface AdapterDependencies {
  store: OidcStore;
  revocations: RevocationList;
  structuredTokens: StructuredTokens;
  clock: Clock;
  /** How long a spent refresh token is answered with the same successor. */
  retryWindowSeconds: number;
  /** How long a request may wait for another one that spends the same. */
  commitTimeoutMs: number;
  /** Of what is issued, for its record (see audit/). */
  fingerprint: (secret: string) => string;
  /** The longest life of anything under a grant: for how long its revocation is remembered. */
  longestGrantSeconds: number;
}

/** Makes the `adapter` that oidc-provider's configuration takes: one per model. */
export function createAdapterFactory(dependencies: AdapterDependencies): (name: string) => Adapter {
  return (name) => createAdapter(name as Model, dependencies);
}

function createAdapter(
  model: Model,
  {
    store,
    revocations,
    structuredTokens,
    clock,
    retryWindowSeconds,
    commitTimeoutMs,
    fingerprint,
    longestGrantSeconds,
  }: AdapterDependencies,
): Adapter {
  const sessions = createSessionSaving(store);
  const saveDeviceCode = createDeviceCodeSaving({ store, fingerprint });
  /** What the request under way read last: spending needs of it only what never changes, and need not read it again. */
  const lastRead = new WeakMap<object, { id: string; payload: StoredPayload }>();
  const afterCommit = async (work: () => Promise<void>): Promise<void> => {
    const unit = currentUnitOfWork();
    if (unit) unit.onCommit(work);
    else await work();
  };

  const reads = createStandingReads(store);
  const read = (id: string): Promise<StoredPayload | undefined> => {
    if (model === 'Grant') return reads.grant(id);
    return isStanding(model) ? reads.token(model, id) : store.find(model, id);
  };
  const isDeadOf = createIsDead({ revocations, clock });
  const standing = createStanding({ store, revocations, isDead: isDeadOf });
  const isDead = (id: string, payload: StoredPayload): boolean => isDeadOf(model, id, payload);

  const revokeGrant = (grantId: string, reason: string): void => {
    requireUnit().revoke({
      kind: 'grant',
      id: grantId,
      reason,
      expiresAt: new Date(clock.now().getTime() + longestGrantSeconds * 1000),
    });
    requireUnit().onCommit(() => store.destroy('Grant', grantId));
  };

  const attemptToSpend = createAttemptToSpend({ store, clock, retryWindowSeconds, longestGrantSeconds });
  /** Won, or thrown. */
  const spend = async (id: string): Promise<void> => {
    const { ctx } = Provider;
    const read = ctx && lastRead.get(ctx.req);
    const payload = read?.id === id ? read.payload : await store.find(model, id);
    const mark = (spender: string): Promise<Spending> => spendOrWait(id, spender);
    const { outcome, spender } = await attemptToSpend(requireUnit(), {
      model,
      id,
      exp: payload?.['exp'] as number | undefined,
      grantId: payload?.['grantId'] as string | undefined,
      mark,
    });
    if (outcome.kind === 'missing') throw new errors.InvalidGrant('not found when it was to be spent');
    if (outcome.kind === 'lost') return refuseSpent(id, payload, outcome);
    if (model === 'RefreshToken' && ctx) rememberRefresh(ctx, { refreshToken: id, spender });
    return undefined;
  };

  /**
   * While the first request is still under way nobody knows whether there is a successor: it may be withheld yet, and
   * then the credential is good. So this one waits, and is told to come again where that takes too long.
   */
  const spendOrWait = async (id: string, spender: string): Promise<Spending> => {
    const deadline = Date.now() + commitTimeoutMs;
    for (;;) {
      const outcome = await store.spend(model, id, { spender, leaseSeconds: LEASE_SECONDS });
      if (outcome.kind !== 'lost' || outcome.isFinal) return outcome;
      if (Date.now() > deadline)
        throw temporarilyUnavailable(new Error(`another request spends this ${model}`));
      await new Promise((resolve) => setTimeout(resolve, PENDING_POLL_MS));
    }
  };

  const refuseSpent = async (
    id: string,
    payload: StoredPayload | undefined,
    { by, at }: { by: string; at: Date },
  ): Promise<never> => {
    if (model === 'PushedAuthorizationRequest')
      throw new errors.InvalidRequestUri('request_uri was already used');
    if (model === 'RefreshToken' && clock.now().getTime() - at.getTime() <= retryWindowSeconds * 1000) {
      const answer = await findAnswer(store, { refreshToken: id, spender: by });
      if (answer) throw new HonestRetry(id, answer);
    }
    recordReplay(model, payload);
    if (typeof payload?.['grantId'] === 'string') revokeGrant(payload['grantId'], `${model} presented twice`);
    throw new errors.InvalidGrant('already used');
  };

  return translateUnavailable({
    upsert: async (id, payload, expiresIn: number | undefined) => {
      if (model === 'Session' && expiresIn !== undefined) return sessions.save(id, payload, expiresIn);
      if (model === 'DeviceCode' && expiresIn !== undefined) return saveDeviceCode(id, payload, expiresIn);
      const kept = withExchange(model, withAuthority(model, payload));
      const write = (): Promise<void> => store.upsert(model, id, kept, expiresIn);
      const undo = (): Promise<void> => store.destroy(model, id);
      const unit = currentUnitOfWork();
      if (unit && STAGED.has(model)) {
        unit.stage({ write: () => asLibraryErrors(write), undo });
        return undefined;
      }
      await write();
      if (isIssued(model)) unit?.onRollback(undo);
      // The authorization endpoint answers by a redirect that only the library can write: its record is made here,
      // before the code leaves, so that a failure becomes an error redirect of the right response mode.
      if (model === 'AuthorizationCode') await recordAuthorization(id, payload, fingerprint);
      return undefined;
    },
    find: async (id) => {
      const structured = structuredTokens.behind(id);
      if (structured !== undefined) {
        const carried = await structuredTokens.read(model, structured);
        return carried && !isDead(String(carried['jti']), carried) ? standing(carried) : undefined;
      }
      if (!mayBe(model, id)) return undefined;
      const payload = await read(id);
      if (!payload || isDead(id, payload)) return undefined;
      if (Provider.ctx) lastRead.set(Provider.ctx.req, { id, payload });
      if (model === 'Session') sessions.remember(payload);
      return standing(asFound(model, payload));
    },
    findByUid: async (uid) => {
      const payload = await reads.session(uid);
      return payload && !isDead(uid, payload) ? payload : undefined;
    },
    findByUserCode: async (userCode) => {
      const payload = await store.findByUserCode(userCode);
      return payload && !isDead(userCode, payload) ? payload : undefined;
    },
    consume: (id) => spend(id),
    destroy: async (id) => {
      if (model === 'Grant') {
        revokeGrant(id, Provider.ctx?.oidc.route ?? 'revoked');
        return;
      }
      if (model === 'Session' && sessions.isReplaced(id)) return;
      if (isToken(model)) {
        // A structured one is in no store, but at hand.
        const payload = (await store.find(model, id)) ?? Provider.ctx?.oidc.entities[model as 'AccessToken'];
        requireUnit().revoke({
          kind: 'token',
          id: digest(id),
          reason: 'revoked',
          expiresAt: new Date(Number(payload?.['exp'] ?? epochSeconds(clock) + longestGrantSeconds) * 1000),
        });
      }
      await afterCommit(() => store.destroy(model, id));
    },
    // The library follows this by destroying the grant, which takes everything under it along; except where an access
    // token was revoked (`revokeGrantPolicy`), and then its siblings stay (RFC 7009 §2.1 leaves that open).
    revokeByGrantId: async () => {},
  });
}

function requireUnit(): UnitOfWork {
  const unit = currentUnitOfWork();
  if (!unit)
    throw new Error('spending and revoking need a unit of work: nothing may happen without a record');
  return unit;
}

/** Records the authorization and waits until that is durable (promise 1). */
async function recordAuthorization(
  code: string,
  payload: AdapterPayload,
  fingerprint: (secret: string) => string,
): Promise<void> {
  const unit = requireUnit();
  const oidc = Provider.ctx?.oidc;
  unit.requireLive({
    ...optional('grantId', payload.grantId),
    ...optional('sessionUid', payload['sessionUid']),
    ...optional('accountId', payload.accountId),
    issuedAt: new Date(Number(payload['authTime'] ?? payload.iat) * 1000),
  });
  requireConsent(oidc?.entities.Grant ?? {}, unit);
  unit.record({
    type: 'authorization.succeeded',
    outcome: 'success',
    ...optional('accountId', (oidc?.entities.Account as { id?: string } | undefined)?.id),
    ...optional('clientId', payload.clientId),
    ...optional('sessionUid', payload['sessionUid']),
    ...optional('grantId', payload.grantId),
    payload: {
      scope: payload.scope ?? '',
      ...optional('sid', payload['sid']),
      ...detailsForRecord(payload['rar'], fingerprint),
      issued: [
        {
          kind: 'authorization_code',
          fingerprint: fingerprint(code),
          expires_at: new Date(Number(payload.exp) * 1000).toISOString(),
        },
      ],
    },
  });
  try {
    await unit.commit();
  } catch (error) {
    if (isSpendConflict(error)) throw new errors.InvalidRequestUri('request_uri was already used');
    if (isRevokedConflict(error)) throw new errors.AccessDenied('the session has ended; start again');
    throw temporarilyUnavailable(error);
  }
}

function recordReplay(model: Model, payload: StoredPayload | undefined): void {
  requireUnit().record({
    type: 'token.replayed',
    outcome: 'failure',
    ...optional('clientId', payload?.['clientId']),
    ...optional('grantId', payload?.['grantId']),
    payload: { kind: model },
  });
}

/** Faults of a store that is away, in the words that the library knows. */
function translateUnavailable(adapter: Adapter): Adapter {
  const translated: Record<string, unknown> = {};
  for (const [name, operation] of Object.entries(adapter) as [
    string,
    (...args: unknown[]) => Promise<unknown>,
  ][]) {
    translated[name] = (...args: unknown[]) => asLibraryErrors(() => operation(...args));
  }
  return translated as unknown as Adapter;
}

async function asLibraryErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await orTemporarilyUnavailable(work);
  } catch (error) {
    // Revoked between our look and our write.
    if (error instanceof AppError && error.code === 'grant_ended')
      throw new errors.InvalidGrant('grant ended');
    throw error;
  }
}

const TOKENS: ReadonlySet<Model> = new Set([
  'AccessToken',
  'RefreshToken',
  'ClientCredentials',
  'AuthorizationCode',
]);

function isToken(model: Model): boolean {
  return TOKENS.has(model);
}

/**
 * What nothing asks for again before the answer leaves: written in one go with everything else that the request leaves,
 * right before its record.
 */
const STAGED: ReadonlySet<Model> = new Set(['AccessToken', 'RefreshToken', 'ClientCredentials']);

/** What must not stay in the store when the record of its issuance could not be written. */
function isIssued(model: Model): boolean {
  return TOKENS.has(model) || model === 'PushedAuthorizationRequest';
}

/**
 * Where it is about to be spent nothing is *shown* as spent: the library would end the family before anybody could tell
 * an honest retry from theft, and a request under way from one that is done. `consume` is the judge, and always asked.
 */
function asFound(model: Model, payload: StoredPayload): AdapterPayload {
  const { consumed, ...rest } = payload;
  const isAboutToBeSpent = model === 'PushedAuthorizationRequest' || Provider.ctx?.oidc.route === 'token';
  return isAboutToBeSpent || consumed === undefined ? rest : payload;
}

/**
 * An access token's own time says when it was issued, not when the person signed in, and the revocation of an account
 * that was under way at that moment carries an earlier one. So it takes the time of the sign-in along, as codes and
 * refresh tokens do by themselves. The library drops what it does not know.
 */
function withAuthority(model: Model, payload: AdapterPayload): StoredPayload {
  if (model !== 'AccessToken') return payload;
  const entities = Provider.ctx?.oidc.entities ?? {};
  const { authTime } = (entities.AuthorizationCode ??
    entities.DeviceCode ??
    entities.BackchannelAuthenticationRequest ??
    entities.RefreshToken ??
    {}) as { authTime?: number };
  return { ...payload, ...(authTime === undefined ? {} : { authTime }) };
}

function optional<K extends string>(key: K, value: unknown): { [key in K]?: string } {
  return typeof value === 'string' && value !== '' ? ({ [key]: value } as { [key in K]: string }) : {};
}
