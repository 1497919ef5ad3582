/**
 * Promise 1 at the protocol endpoints: the answer leaves only after its record is durable. This middleware wraps the
 * library's whole router, so it sees the finished answer: it adds the records that only the answer tells (what was
 * issued), seals the copy for an honest retry, commits the request's unit of work, and withholds the answer where
 * that fails. The authorization endpoint's success is recorded earlier, in adapter.ts.
 */
import { errors, type KoaContextWithOIDC } from 'oidc-provider';

import {
  isRevokedConflict,
  isSpendConflict,
  type RevokedConflict,
  type SpendConflict,
} from '../audit/errors.ts';
import { currentUnitOfWork, type UnitOfWork } from '../audit/unit-of-work.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { HonestRetry, isUnavailable, reasonOf, RETRY_AFTER_SECONDS, UNAVAILABLE } from './errors.ts';
import {
  faultEvent,
  recordSilentRoutes,
  recordOtherQuestion,
  recordRetry,
  refusedToken,
  type EventRecorder,
} from './events.ts';
import { findAnswer, openRefreshAnswer, questionOf, stageAnswer, wonRefresh } from './refresh-answers.ts';
import { isSessionSaved } from './session-saving.ts';
import type { LogoutFrame, SignOutRecorder } from './sign-out.ts';
import type { OidcStore } from './store/port.ts';

export interface RecordKeeping {
  store: OidcStore;
  clock: Clock;
  retryWindowSeconds: number;
  longestGrantSeconds: number;
  events: EventRecorder;
  signOut: SignOutRecorder;
  logger: Pick<Logger, 'warn'>;
  /** The page that loads what applications have to forget the person; then it leads on. */
  renderSignedOut: (
    ctx: KoaContextWithOIDC,
    page: { frames: readonly LogoutFrame[]; continueUrl: string },
  ) => Promise<void>;
  /** Takes back what earlier requests could not; never throws. */
  undoNow: () => Promise<void>;
  /** The page for a person whose request could not be answered or recorded, and what was in the way. */
  renderUnavailable: (ctx: KoaContextWithOIDC, failure: unknown) => string;
}

type Middleware = (ctx: KoaContextWithOIDC, next: () => Promise<void>) => Promise<void>;

export function recordBeforeResponse(keeping: RecordKeeping): Middleware {
  return async (ctx, next) => {
    await keeping.undoNow();
    const thrown = await faultOf(ctx, next);
    // Not one of the protocol's endpoints: whoever answered it keeps the record.
    if (!isProtocol(ctx)) return undefined;
    const unit = currentUnitOfWork();
    if (!unit) throw new Error('the protocol endpoints need a unit of work around them');

    const failure = thrown ?? keeping.events.failureOf(ctx);
    if (isUnavailable(failure)) {
      // What this request spent before it failed is not spent: the client that tries again succeeds.
      await unit.rollback();
      withhold(ctx, keeping, failure);
      return commitLasting(ctx, unit, keeping);
    }
    if (failure) unit.dropStaged();
    if (isFault(failure)) {
      await unit.rollback();
      unit.record(faultEvent(ctx, failure));
    }
    if (failure instanceof HonestRetry) answerRetry(ctx, failure);
    else recordSilentRoutes(ctx, keeping.events);

    keepAnswerForRetry(ctx, unit, keeping);
    const frames = await recordSignOut(ctx, unit, keeping);
    if (!frames) return undefined;
    await commit(ctx, unit, keeping);
    // Only where the sign-out is durable: otherwise the answer is a 503 by now.
    if (frames.length > 0 && ctx.status === 303) await loadFrames(ctx, frames, keeping);
    return undefined;
  };
}

/**
 * The library turns what goes wrong into an answer, but for the session that it saves once more behind that answer.
 *
 * @throws whatever else the doors behind us throw
 */
async function faultOf(ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<unknown> {
  try {
    await next();
    return undefined;
  } catch (error) {
    if (isProtocol(ctx) && isUnavailable(error)) return error;
    throw error;
  }
}

function isProtocol(ctx: KoaContextWithOIDC): boolean {
  return (ctx as { oidc?: unknown }).oidc !== undefined;
}

/** @returns undefined where what it needs is away, and the answer is withheld */
async function recordSignOut(
  ctx: KoaContextWithOIDC,
  unit: UnitOfWork,
  keeping: RecordKeeping,
): Promise<LogoutFrame[] | undefined> {
  try {
    return await keeping.signOut.record(ctx);
  } catch (error) {
    if (!isUnavailable(error)) throw error;
    await unit.rollback();
    withhold(ctx, keeping, error);
    await commitLasting(ctx, unit, keeping);
    return undefined;
  }
}

/** What tells why an answer is withheld outlives the rollback. */
async function commitLasting(
  ctx: KoaContextWithOIDC,
  unit: UnitOfWork,
  keeping: RecordKeeping,
): Promise<void> {
  if (!unit.isEmpty()) await commit(ctx, unit, keeping);
}

/** Instead of the redirect, which the page offers, and makes by itself where there is script. */
async function loadFrames(
  ctx: KoaContextWithOIDC,
  frames: readonly LogoutFrame[],
  { renderSignedOut }: RecordKeeping,
): Promise<void> {
  const continueUrl = ctx.response.get('Location');
  ctx.remove('Location');
  await renderSignedOut(ctx, { frames, continueUrl });
}

async function commit(ctx: KoaContextWithOIDC, unit: UnitOfWork, keeping: RecordKeeping): Promise<void> {
  try {
    await unit.commit();
  } catch (error) {
    if (isSpendConflict(error)) {
      await refuseSpent(ctx, unit, error, keeping);
    } else if (isRevokedConflict(error)) {
      await refuseEnded(ctx, unit, revokedMeanwhile(error), keeping);
    } else if (isUnavailable(error)) {
      withhold(ctx, keeping, error);
    } else if (error instanceof errors.InvalidGrant) {
      await refuseEnded(ctx, unit, error, keeping);
    } else {
      unit.record(faultEvent(ctx, error as Error));
      await unit.commit();
      throw error;
    }
  }
}

/**
 * PostgreSQL remembers what the store forgot: the credential was spent before. The one honest case is a refresh whose
 * first attempt was recorded by a process that died before it could say so.
 */
async function refuseSpent(
  ctx: KoaContextWithOIDC,
  unit: UnitOfWork,
  { cause: spent }: SpendConflict,
  keeping: RecordKeeping,
): Promise<void> {
  const refresh = spent.kind === 'RefreshToken' ? wonRefresh(ctx) : undefined;
  const recorded = refresh && (await findAnswer(keeping.store, { ...refresh, spender: spent.by }));
  if (refresh && recorded !== undefined) {
    answerRetry(ctx, new HonestRetry(refresh.refreshToken, recorded));
    return commit(ctx, unit, keeping);
  }
  // A proof that comes twice says nothing about the grant.
  const { grantId } = spent;
  unit.record({
    type: 'token.replayed',
    outcome: 'failure',
    ...(ctx.oidc.client ? { clientId: ctx.oidc.client.clientId } : {}),
    ...(grantId ? { grantId } : {}),
    payload: { kind: spent.kind },
  });
  if (grantId) {
    unit.onCommit(() => keeping.store.destroy('Grant', grantId));
    unit.revoke({
      kind: 'grant',
      id: grantId,
      reason: `${spent.kind} presented twice`,
      expiresAt: new Date(keeping.clock.now().getTime() + keeping.longestGrantSeconds * 1000),
    });
  }
  answerRefusal(ctx, refusalFor(spent.kind));
  await commit(ctx, unit, keeping);
}

/** This process had not heard of it yet. */
function revokedMeanwhile({ cause: { kind } }: RevokedConflict): errors.InvalidGrant {
  return new errors.InvalidGrant(`revoked while the request was under way: ${kind.replaceAll('_', ' ')}`);
}

/** What was to be given came too late: what it stands on has just ended. */
async function refuseEnded(
  ctx: KoaContextWithOIDC,
  unit: UnitOfWork,
  refusal: errors.InvalidGrant,
  keeping: RecordKeeping,
): Promise<void> {
  unit.record(refusedToken(ctx, refusal, keeping.events.settings));
  answerRefusal(ctx, refusal);
  await commit(ctx, unit, keeping);
}

function answerRefusal(ctx: KoaContextWithOIDC, refusal: errors.OIDCProviderError): void {
  ctx.status = refusal.statusCode;
  if (ctx.oidc.route === 'userinfo') {
    // There we are the resource server (RFC 9449 §7.1).
    ctx.status = 401;
    ctx.set('WWW-Authenticate', `DPoP realm="${ctx.oidc.issuer}", error="${refusal.error}"`);
  }
  ctx.type = 'json';
  ctx.body = { error: refusal.error, error_description: refusal.error_description };
}

function refusalFor(kind: string): errors.OIDCProviderError {
  if (kind === 'client_assertion')
    return new errors.InvalidClientAuth('client assertion tokens must only be used once');
  if (kind === 'dpop_proof') return new errors.InvalidDpopProof('DPoP proof JWT Replay detected');
  return new errors.InvalidGrant('already used');
}

function keepAnswerForRetry(ctx: KoaContextWithOIDC, unit: UnitOfWork, keeping: RecordKeeping): void {
  const refresh = wonRefresh(ctx);
  const { status, body: answer } = ctx;
  if (!refresh || status !== 200 || typeof answer !== 'object' || answer === null) return;
  stageAnswer(unit, refresh, { ...keeping, answer, question: questionOf(ctx.oidc.params) });
}

function answerRetry(ctx: KoaContextWithOIDC, { refreshToken, sealedAnswer }: HonestRetry): void {
  const { answer, question } = openRefreshAnswer(refreshToken, sealedAnswer);
  ctx.type = 'json';
  if (question === undefined || question === questionOf(ctx.oidc.params)) {
    ctx.status = 200;
    ctx.body = answer;
    recordRetry(ctx);
    return;
  }
  // Two requests for two APIs at once: the token of one would be no answer to the other. Nothing was stolen, either.
  answerRefusal(ctx, new errors.InvalidGrant('spent for another request a moment ago; use its successor'));
  recordOtherQuestion(ctx);
}

/** Neither a refusal nor an outage: what was gathered is given up, and what was spent is good again. */
function isFault(failure: unknown): failure is Error {
  return failure instanceof Error && !(failure instanceof errors.OIDCProviderError && failure.expose);
}

/** 503 where a status can say so; an error that is on its way to the client's redirect URI stays as it is. */
function withhold(
  ctx: KoaContextWithOIDC,
  { renderUnavailable, logger }: RecordKeeping,
  failure: unknown,
): void {
  logger.warn({ reason: reasonOf(failure), route: ctx.oidc.route }, 'an answer was withheld');
  keepOnlyTrueCookies(ctx);
  ctx.set('Cache-Control', 'no-store');
  if (isErrorResponse(ctx)) return;
  ctx.remove('Location');
  ctx.status = 503;
  ctx.set('Retry-After', String(RETRY_AFTER_SECONDS));
  if (ctx.accepts('json', 'html') === 'html') {
    ctx.type = 'html';
    ctx.body = renderUnavailable(ctx, failure);
  } else {
    ctx.type = 'json';
    ctx.body = UNAVAILABLE;
  }
}

/**
 * Nothing happened, so the browser keeps the cookies it has: a session's new id that was never saved would sign the
 * person out, as would the end of a session that was not recorded. An id that was saved has to reach the browser.
 */
function keepOnlyTrueCookies(ctx: KoaContextWithOIDC): void {
  const cookies = [ctx.response.get('Set-Cookie')].flat().filter(Boolean);
  const name = ctx.oidc.provider.cookieName('session');
  const isTrue = (cookie: string): boolean =>
    isSessionSaved(ctx) && (cookie.startsWith(`${name}=`) || cookie.startsWith(`${name}.sig=`));
  const kept = cookies.filter(isTrue);
  if (kept.length > 0) ctx.set('Set-Cookie', kept);
  else ctx.remove('Set-Cookie');
}

/** The library's own answer to the client, by whichever response mode it asked for. */
function isErrorResponse(ctx: KoaContextWithOIDC): boolean {
  if (!['authorization', 'resume'].includes(ctx.oidc.route)) return false;
  const isRedirect = ctx.status >= 300 && ctx.status < 400;
  return isRedirect
    ? ctx.response.get('Location').includes('error=temporarily_unavailable')
    : isErrorForm(ctx);
}

/** The page of `response_mode=form_post` that posts the error to the client. */
function isErrorForm(ctx: KoaContextWithOIDC): boolean {
  return typeof ctx.body === 'string' && ctx.body.includes('name="error" value="temporarily_unavailable"');
}
