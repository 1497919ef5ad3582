/**
 * Short ways past the library for the requests that come most often: introspection, JWTs for machines, refreshes. They
 * owe their speed to what they leave out, so each is taken only by requests that it understands to the last parameter;
 * everything else, every refusal among it, goes on to the library as if nothing had been here. Only that something is
 * away (503) is said here, where nothing could be issued.
 *
 * What they answer is what the library would have answered: test/integration/fast-paths drives generated requests
 * through both. They hold to the promises in the same way: nothing issued without a record, nothing revoked found.
 */
import { currentUnitOfWork, type UnitOfWork } from '../../audit/unit-of-work.ts';
import type { Client } from '../../clients/client.ts';
import type { ClientService } from '../../clients/service.ts';
import { AppError } from '../../platform/errors.ts';
import type { Logger } from '../../platform/logger.ts';
import { isUnavailable, reasonOf, RETRY_AFTER_SECONDS, UNAVAILABLE } from '../errors.ts';
import {
  CLIENT_CREDENTIALS_PARAMETERS,
  issueToMachine,
  type FastClientCredentials,
} from './client-credentials.ts';
import { clientBySecret } from './client.ts';
import { introspect, INTROSPECTION_PARAMETERS, type FastIntrospection } from './introspection.ts';
import { type FastRefresh, REFRESH_PARAMETERS, renew } from './refresh.ts';
import { discardBody, isPlain, peekForm, type FastContext, type Form } from './request.ts';

export interface FastPathDependencies extends FastIntrospection, FastClientCredentials, FastRefresh {
  apis: FastIntrospection['apis'] & FastClientCredentials['apis'];
  clients: Pick<ClientService, 'findKnown' | 'verifySecret'>;
  logger: Pick<Logger, 'error' | 'warn'>;
  /** Takes back what earlier requests could not; never throws. */
  undoNow: () => Promise<void>;
  /** Recording each introspection costs more than the short way saves. */
  mayRecordIntrospection: boolean;
  /** What browsers may read at the token endpoint, as the library tells them. */
  exposedByToken: string;
  /** Told of each request that took a short way. */
  onTaken?: ((path: FastPath) => void) | undefined;
  onGrant?: ((grantType: string, outcome: 'success' | 'failure', clientId?: string) => void) | undefined;
}

export type FastPath = 'introspection' | 'client_credentials' | 'refresh_token';

/** A middleware of the host; the issuer's own path is part of the paths. */
export type FastPaths = (ctx: FastContext, next: () => Promise<void>) => Promise<void>;

export function createFastPaths(dependencies: FastPathDependencies): FastPaths {
  const { issuer, clients, logger, undoNow } = dependencies;
  const base = new URL(issuer).pathname.replace(/\/$/, '');
  const introspectionPath = `${base}/oauth/introspect`;
  const tokenPath = `${base}/oauth/token`;

  /** What is neither refused nor away is a fault of ours. */
  const reportFault = (error: unknown): undefined => {
    if ((error instanceof AppError && error.status < 500) || isUnavailable(error)) return;
    logger.error({ err: error }, 'a short way failed, and the library answers');
  };

  const understood = async (
    { req }: FastContext,
    parameters: ReadonlySet<string>,
  ): Promise<{ form: Form; client: Client } | undefined> => {
    const form = await peekForm(req, parameters);
    const client = form && (await clientBySecret(req.headers.authorization, form, clients));
    if (!client) return undefined;
    await undoNow();
    return { form, client };
  };

  const introspected = async (ctx: FastContext): Promise<object | undefined> => {
    if (dependencies.mayRecordIntrospection) return undefined;
    const request = await understood(ctx, INTROSPECTION_PARAMETERS);
    return request && introspect(request.client, request.form, dependencies);
  };

  /** Leaves what has to be durable before the answer in the unit of work. */
  const issued = async (ctx: FastContext, unit: UnitOfWork): Promise<Issuance | undefined> => {
    const request = await understood(ctx, TOKEN_PARAMETERS);
    if (!request) return undefined;
    const { client, form } = request;
    const { clientId } = client;
    if (form['grant_type'] === 'refresh_token') {
      const body = await renew(client, form, unit, dependencies);
      return body && { path: 'refresh_token', clientId, body };
    }
    const token = await issueToMachine(client, form, dependencies);
    if (!token) return undefined;
    unit.record(token.record);
    return { path: 'client_credentials', clientId, body: token.answer };
  };

  const answerIntrospection: FastPaths = async (ctx, next) => {
    // Whatever goes wrong, the library meets it too, and knows how to say it.
    const body = await introspected(ctx).catch(reportFault);
    if (!body) return next();
    dependencies.onTaken?.('introspection');
    return answer(ctx, { status: 200, body, exposed: 'WWW-Authenticate' });
  };

  /**
   * Nothing is left of what was tried and failed, so the library can try it anew, meet what was in the way, and judge
   * it: a spending that was lost, a grant that has ended. Where something is away there is nothing to judge.
   *
   * @returns undefined where the library has to answer
   */
  const issuedAndRecorded = async (
    ctx: FastContext,
    unit: UnitOfWork,
  ): Promise<Issuance | 'unavailable' | undefined> => {
    try {
      const issuance = await issued(ctx, unit);
      if (!issuance) return undefined;
      const { path, clientId } = issuance;
      unit.onCommit(async () => dependencies.onGrant?.(path, 'success', clientId));
      await unit.commit();
      return issuance;
    } catch (error) {
      await unit.rollback();
      // What outlives the rollback is for whoever answers to write.
      if (!isUnavailable(error) || !unit.isEmpty()) return reportFault(error);
      logger.warn({ reason: reasonOf(error), route: 'token' }, 'an answer was withheld');
      return 'unavailable';
    }
  };

  const answerToken: FastPaths = async (ctx, next) => {
    const unit = currentUnitOfWork();
    const issuance = unit && (await issuedAndRecorded(ctx, unit));
    if (!issuance) return next();
    const exposed = dependencies.exposedByToken;
    if (issuance === 'unavailable') {
      ctx.set('Retry-After', String(RETRY_AFTER_SECONDS));
      return answer(ctx, { status: 503, body: UNAVAILABLE, exposed });
    }
    dependencies.onTaken?.(issuance.path);
    return answer(ctx, { status: 200, body: issuance.body, exposed });
  };

  return async (ctx, next) => {
    if (ctx.method !== 'POST' || !isPlain(ctx.req)) return next();
    if (ctx.path === introspectionPath) return answerIntrospection(ctx, next);
    if (ctx.path === tokenPath) return answerToken(ctx, next);
    return next();
  };
}

interface Issuance {
  path: FastPath;
  clientId: string;
  body: object;
}

const TOKEN_PARAMETERS: ReadonlySet<string> = new Set([
  ...CLIENT_CREDENTIALS_PARAMETERS,
  ...REFRESH_PARAMETERS,
]);

function answer(
  ctx: FastContext,
  { status, body, exposed }: { status: number; body: object; exposed: string },
): void {
  discardBody(ctx.req);
  ctx.status = status;
  ctx.set('Vary', 'Origin');
  ctx.set('Access-Control-Allow-Origin', '*');
  ctx.set('Access-Control-Expose-Headers', exposed);
  ctx.set('Cache-Control', 'no-store');
  ctx.set('Content-Type', 'application/json; charset=utf-8');
  ctx.body = JSON.stringify(body);
}
