/**
 * Promise 1 at the protocol endpoints: the answer leaves only after its record is durable. This middleware wraps the
 * library's whole router, so it sees the finished answer: it adds the records that only the answer tells (what was
 * issued), seals the copy for an honest retry, commits the request's unit of work, and withholds the answer where
 * that fails. The authorization endpoint's success is recorded earlier, in adapter.ts.
 */
import { errors, type KoaContextWithOIDC } from 'oidc-provider';

import { isAuditUnavailable, isRevokedConflict, isSpendConflict } from '../audit/errors.ts';
import { currentUnitOfWork, type UnitOfWork } from '../audit/unit-of-work.ts';
import type { Clock } from '../platform/clock.ts';
import type { AppError } from '../platform/errors.ts';
import { HonestRetry, RETRY_AFTER_SECONDS } from './errors.ts';
import { recordSilentRoutes, recordRetry, type EventRecorder } from './events.ts';
import { openRefreshAnswer, refreshAnswerKey, sealRefreshAnswer, wonRefresh } from './refresh-answers.ts';
import type { OidcStore } from './store/port.ts';

export interface RecordKeeping {
  store: OidcStore;
  clock: Clock;
  retryWindowSeconds: number;
  longestGrantSeconds: number;
  events: EventRecorder;
  /** The page for a person whose request could not be recorded. */
  renderUnavailable: (ctx: KoaContextWithOIDC) => string;
}

type Middleware = (ctx: KoaContextWithOIDC, next: () => Promise<void>) => Promise<void>;

export function recordBeforeResponse(keeping: RecordKeeping): Middleware {
  return async (ctx, next) => {
    await next();
    // Not one of the protocol's endpoints: whoever answered it keeps the record.
    if ((ctx as { oidc?: unknown }).oidc === undefined) return undefined;
    const unit = currentUnitOfWork();
    if (!unit) throw new Error('the protocol endpoints need a unit of work around them');

    const failure = keeping.events.failureOf(ctx);
    if (failure instanceof HonestRetry) answerRetry(ctx, failure);
    else recordSilentRoutes(ctx, keeping.events);
    if (isUnavailable(failure)) return withhold(ctx, keeping);

    await keepAnswerForRetry(ctx, keeping);
    return commit(ctx, unit, keeping);
  };
}

async function commit(ctx: KoaContextWithOIDC, unit: UnitOfWork, keeping: RecordKeeping): Promise<void> {
  try {
    await unit.commit();
  } catch (error) {
    if (isSpendConflict(error) || isRevokedConflict(error)) {
      await refuseConflict(ctx, unit, error, keeping);
    } else if (isAuditUnavailable(error)) {
      withhold(ctx, keeping);
    } else {
      throw error;
    }
  }
}

/**
 * PostgreSQL remembers what the store forgot: the credential was spent before, or what it stands on was revoked.
 * The one honest case is a refresh whose first attempt was recorded by a process that died before it could say so.
 */
async function refuseConflict(
  ctx: KoaContextWithOIDC,
  unit: UnitOfWork,
  conflict: AppError,
  keeping: RecordKeeping,
): Promise<void> {
  const refresh = wonRefresh(ctx);
  const spent = isSpendConflict(conflict) ? conflict.cause : undefined;
  if (spent && refresh?.tookOverFrom) {
    const answer = await keeping.store.getAnswer(
      refreshAnswerKey(refresh.refreshToken, refresh.tookOverFrom),
    );
    if (answer) {
      answerRetry(ctx, new HonestRetry(refresh.refreshToken, answer));
      await unit.commit();
      return;
    }
  }
  const grantId = ctx.oidc.entities.Grant?.jti;
  unit.record({
    type: 'token.replayed',
    outcome: 'failure',
    ...(ctx.oidc.client ? { clientId: ctx.oidc.client.clientId } : {}),
    ...(grantId ? { grantId } : {}),
    payload: { kind: spent?.kind ?? 'revoked' },
  });
  if (spent && grantId) {
    unit.revoke({
      kind: 'grant',
      id: grantId,
      reason: `${spent.kind} presented twice`,
      expiresAt: new Date(keeping.clock.now().getTime() + keeping.longestGrantSeconds * 1000),
    });
  }
  const refusal = spent ? refusalFor(spent.kind) : new errors.InvalidGrant('revoked');
  ctx.status = refusal.statusCode;
  ctx.body = { error: refusal.error, error_description: refusal.error_description };
  await commit(ctx, unit, keeping);
}

function refusalFor(kind: string): errors.OIDCProviderError {
  if (kind === 'client_assertion')
    return new errors.InvalidClientAuth('client assertion tokens must only be used once');
  if (kind === 'dpop_proof') return new errors.InvalidDpopProof('DPoP proof JWT Replay detected');
  return new errors.InvalidGrant('already used');
}

/** Before the commit: a copy whose record never became durable is under a key that no later attempt asks for. */
async function keepAnswerForRetry(ctx: KoaContextWithOIDC, keeping: RecordKeeping): Promise<void> {
  const refresh = wonRefresh(ctx);
  if (!refresh || ctx.status !== 200 || typeof ctx.body !== 'object' || ctx.body === null) return;
  await keeping.store.putAnswer(
    refreshAnswerKey(refresh.refreshToken, refresh.spender),
    sealRefreshAnswer(refresh.refreshToken, ctx.body),
    keeping.retryWindowSeconds,
  );
}

function answerRetry(ctx: KoaContextWithOIDC, { refreshToken, sealedAnswer }: HonestRetry): void {
  ctx.status = 200;
  ctx.body = openRefreshAnswer(refreshToken, sealedAnswer);
  recordRetry(ctx);
}

function isUnavailable(failure: unknown): boolean {
  return failure instanceof errors.OIDCProviderError && failure.error === 'temporarily_unavailable';
}

/** 503 where a status can say so; a redirect that the library already wrote stays as it is. */
function withhold(ctx: KoaContextWithOIDC, { renderUnavailable }: RecordKeeping): void {
  if (ctx.status >= 300 && ctx.status < 400 && isErrorRedirect(ctx)) return;
  // A cookie that ends the session must not leave: the sign-out was not recorded, so it did not happen.
  if (ctx.oidc.route.startsWith('end_session')) ctx.remove('Set-Cookie');
  ctx.remove('Location');
  ctx.status = 503;
  ctx.set('Retry-After', String(RETRY_AFTER_SECONDS));
  ctx.set('Cache-Control', 'no-store');
  if (ctx.accepts('json', 'html') === 'html') {
    ctx.type = 'html';
    ctx.body = renderUnavailable(ctx);
  } else {
    ctx.type = 'json';
    ctx.body = {
      error: 'temporarily_unavailable',
      error_description: 'the server cannot answer at the moment; nothing was changed, try again shortly',
    };
  }
}

function isErrorRedirect(ctx: KoaContextWithOIDC): boolean {
  return ctx.response.get('Location').includes('error=temporarily_unavailable');
}
