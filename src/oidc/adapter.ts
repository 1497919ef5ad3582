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
import { isDatabaseUnavailable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import { digest, randomToken } from '../platform/ids.ts';
import { isRedisUnavailable } from '../platform/redis.ts';
import { HonestRetry, temporarilyUnavailable } from './errors.ts';
import { refreshAnswerKey, rememberRefresh } from './refresh-answers.ts';
import { createSessionSaving } from './session-saving.ts';
import type { Model, OidcStore, StoredPayload } from './store/port.ts';
import { mayBe } from './token-ids.ts';

/** A pending mark of a process that died is taken over after this long. Longer than any commit may take. */
const LEASE_SECONDS = 15;
/** How often a retry looks whether the first request has its answer. */
const PENDING_POLL_MS = 25;

export interface AdapterDependencies {
  store: OidcStore;
  revocations: RevocationList;
  clock: Clock;
  /** How long a spent refresh token is answered with the same successor. */
  retryWindowSeconds: number;
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
  { store, revocations, clock, retryWindowSeconds, fingerprint, longestGrantSeconds }: AdapterDependencies,
): Adapter {
  const sessions = createSessionSaving(store);
  const afterCommit = async (work: () => Promise<void>): Promise<void> => {
    const unit = currentUnitOfWork();
    if (unit) unit.onCommit(work);
    else await work();
  };

  const isDead = (id: string, payload: StoredPayload): boolean =>
    revocations.isRevoked({
      tokenId: digest(id),
      ...optional('grantId', model === 'Grant' ? id : payload['grantId']),
      ...optional('sessionUid', sessionUidOf(model, payload)),
      ...optional('accountId', payload['accountId']),
      issuedAt: new Date(issuedAtSeconds(payload, clock) * 1000),
    });

  const revokeGrant = (grantId: string, reason: string): void => {
    requireUnit().revoke({
      kind: 'grant',
      id: grantId,
      reason,
      expiresAt: new Date(clock.now().getTime() + longestGrantSeconds * 1000),
    });
    requireUnit().onCommit(() => store.destroy('Grant', grantId));
  };

  /** Won, or thrown. */
  const spend = async (id: string): Promise<void> => {
    const payload = await store.find(model, id);
    const unit = requireUnit();
    const spender = randomToken(16);
    const spent = await spendOrWait(id, spender);
    if (spent.kind === 'missing') throw new errors.InvalidGrant('not found when it was to be spent');
    if (spent.kind === 'lost') return refuseSpent(id, payload, spent);

    unit.onRollback(() => store.releaseSpent(model, id, spender));
    unit.onCommit(() => store.confirmSpent(model, id, spender));
    unit.spend({
      kind: model,
      digest: digest(model, id),
      expiresAt: new Date(Number(payload?.['exp'] ?? epochSeconds(clock) + longestGrantSeconds) * 1000),
      ...optional('grantId', payload?.['grantId']),
    });
    const { ctx } = Provider;
    if (model === 'RefreshToken' && ctx) {
      rememberRefresh(ctx, { refreshToken: id, spender, ...optional('tookOverFrom', spent.tookOverFrom) });
    }
    return undefined;
  };

  /** A refresh token whose first request is still under way is worth waiting for: its answer is ours too. */
  const spendOrWait = async (id: string, spender: string): ReturnType<OidcStore['spend']> => {
    const deadline = Date.now() + LEASE_SECONDS * 1000;
    for (;;) {
      const outcome = await store.spend(model, id, { spender, leaseSeconds: LEASE_SECONDS });
      const mayWait = model === 'RefreshToken' && outcome.kind === 'lost' && !outcome.isFinal;
      if (!mayWait || Date.now() > deadline) return outcome;
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
      const answer = await store.getAnswer(refreshAnswerKey(id, by));
      if (answer) throw new HonestRetry(id, answer);
    }
    recordReplay(model, payload);
    if (typeof payload?.['grantId'] === 'string') revokeGrant(payload['grantId'], `${model} presented twice`);
    throw new errors.InvalidGrant('already used');
  };

  return translateUnavailable({
    upsert: async (id, payload, expiresIn: number | undefined) => {
      if (model === 'Session' && expiresIn !== undefined) return sessions.save(id, payload, expiresIn);
      await store.upsert(model, id, payload as StoredPayload, expiresIn);
      if (isIssued(model)) currentUnitOfWork()?.onRollback(() => store.destroy(model, id));
      // The authorization endpoint answers by a redirect that only the library can write: its record is made here,
      // before the code leaves, so that a failure becomes an error redirect of the right response mode.
      if (model === 'AuthorizationCode') await recordAuthorization(id, payload, fingerprint);
      return undefined;
    },
    find: async (id) => {
      if (!mayBe(model, id)) return undefined;
      const payload = await store.find(model, id);
      if (!payload || isDead(id, payload)) return undefined;
      if (model === 'Session') sessions.remember(payload);
      return asFound(model, payload);
    },
    findByUid: async (uid) => {
      const payload = await store.findByUid(uid);
      return payload && !isDead(uid, payload) ? (payload as AdapterPayload) : undefined;
    },
    findByUserCode: async (userCode) => {
      const payload = await store.findByUserCode(userCode);
      return payload && !isDead(userCode, payload) ? (payload as AdapterPayload) : undefined;
    },
    consume: (id) => spend(id),
    destroy: async (id) => {
      if (model === 'Grant') {
        revokeGrant(id, 'revoked');
        return;
      }
      if (model === 'Session' && sessions.isReplaced(id)) return;
      if (isToken(model)) {
        const payload = await store.find(model, id);
        requireUnit().revoke({
          kind: 'token',
          id: digest(id),
          reason: 'revoked',
          expiresAt: new Date(Number(payload?.['exp'] ?? epochSeconds(clock) + longestGrantSeconds) * 1000),
        });
      }
      await afterCommit(() => store.destroy(model, id));
    },
    revokeByGrantId: async (grantId) => {
      // RFC 7009 §2.1 leaves it open whether revoking an access token ends its siblings. Here it does not: only the
      // token that was named dies. Revoking the refresh token ends the grant.
      if (Provider.ctx?.oidc.route === 'revocation' && Provider.ctx.oidc.entities.AccessToken) return;
      revokeGrant(grantId, Provider.ctx?.oidc.route ?? 'revoked');
    },
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
  unit.record({
    type: 'authorization.succeeded',
    outcome: 'success',
    ...optional('accountId', (oidc?.entities.Account as { id?: string } | undefined)?.id),
    ...optional('clientId', payload.clientId),
    ...optional('sessionUid', payload['sessionUid']),
    ...optional('grantId', payload.grantId),
    payload: {
      scope: payload.scope ?? '',
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

/** Faults of a store that is away become `temporarily_unavailable`, so that clients retry instead of giving up. */
function translateUnavailable(adapter: Adapter): Adapter {
  const translated: Record<string, unknown> = {};
  for (const [name, operation] of Object.entries(adapter) as [
    string,
    (...args: unknown[]) => Promise<unknown>,
  ][]) {
    translated[name] = async (...args: unknown[]) => {
      try {
        return await operation(...args);
      } catch (error) {
        if (isDatabaseUnavailable(error) || isRedisUnavailable(error)) throw temporarilyUnavailable(error);
        // Revoked between our look and our write.
        if (error instanceof AppError && error.code === 'grant_ended')
          throw new errors.InvalidGrant('grant ended');
        throw error;
      }
    };
  }
  return translated as unknown as Adapter;
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

/** What must not stay in the store when the record of its issuance could not be written. */
function isIssued(model: Model): boolean {
  return TOKENS.has(model) || model === 'PushedAuthorizationRequest';
}

/**
 * A refresh token is never *shown* as spent: the library would revoke its family before anybody could tell an honest
 * retry from theft. `consume` is the judge, and rotation always asks it.
 */
function asFound(model: Model, payload: StoredPayload): AdapterPayload {
  if (model !== 'RefreshToken') return payload as AdapterPayload;
  const { consumed, ...rest } = payload;
  const isRefreshing = Provider.ctx?.oidc.route === 'token';
  return (isRefreshing || consumed === undefined ? rest : payload) as AdapterPayload;
}

function sessionUidOf(model: Model, payload: StoredPayload): unknown {
  if (model === 'Session') return payload['uid'];
  return payload['expiresWithSession'] ? payload['sessionUid'] : undefined;
}

/** When the authority behind a payload was given: a session at its login, a token when it was issued. */
function issuedAtSeconds(payload: StoredPayload, clock: Clock): number {
  return Number(payload['loginTs'] ?? payload['iat'] ?? epochSeconds(clock));
}

function optional<K extends string>(key: K, value: unknown): { [key in K]?: string } {
  return typeof value === 'string' && value !== '' ? ({ [key]: value } as { [key in K]: string }) : {};
}
