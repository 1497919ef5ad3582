/**
 * Short ways past the library for the two requests that come most often: introspection, and JWTs for machines. They owe
 * their speed to what they leave out, so each is taken only by requests that it understands to the last parameter;
 * everything else, every refusal among it, goes on to the library as if nothing had been here.
 *
 * What they answer is what the library would have answered: test/integration/fast-paths drives generated requests
 * through both. They hold to the promises in the same way: nothing issued without a record, nothing revoked found.
 */
import { isAuditUnavailable } from '../../audit/errors.ts';
import { currentUnitOfWork } from '../../audit/unit-of-work.ts';
import type { Client } from '../../clients/client.ts';
import type { ClientService } from '../../clients/service.ts';
import { RETRY_AFTER_SECONDS, UNAVAILABLE } from '../errors.ts';
import {
  CLIENT_CREDENTIALS_PARAMETERS,
  issueToMachine,
  type FastClientCredentials,
  type MachineToken,
} from './client-credentials.ts';
import { clientBySecret } from './client.ts';
import { introspect, INTROSPECTION_PARAMETERS, type FastIntrospection } from './introspection.ts';
import { discardBody, isPlain, peekForm, type FastContext, type Form } from './request.ts';

export interface FastPathDependencies extends FastIntrospection, FastClientCredentials {
  apis: FastIntrospection['apis'] & FastClientCredentials['apis'];
  clients: Pick<ClientService, 'find' | 'verifySecret'>;
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

export type FastPath = 'introspection' | 'client_credentials';

/** A middleware of the host; the issuer's own path is part of the paths. */
export type FastPaths = (ctx: FastContext, next: () => Promise<void>) => Promise<void>;

export function createFastPaths(dependencies: FastPathDependencies): FastPaths {
  const { issuer, clients, undoNow } = dependencies;
  const base = new URL(issuer).pathname.replace(/\/$/, '');
  const introspectionPath = `${base}/oauth/introspect`;
  const tokenPath = `${base}/oauth/token`;

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

  const issued = async (ctx: FastContext): Promise<MachineToken | undefined> => {
    const request = await understood(ctx, CLIENT_CREDENTIALS_PARAMETERS);
    return request && issueToMachine(request.client, request.form, dependencies);
  };

  const answerIntrospection: FastPaths = async (ctx, next) => {
    const body = await orLibrary(introspected(ctx));
    if (!body) return next();
    dependencies.onTaken?.('introspection');
    return answer(ctx, { status: 200, body, exposed: 'WWW-Authenticate' });
  };

  const answerClientCredentials: FastPaths = async (ctx, next) => {
    const unit = currentUnitOfWork();
    const token = unit && (await orLibrary(issued(ctx)));
    if (!unit || !token) return next();
    dependencies.onTaken?.('client_credentials');
    const exposed = dependencies.exposedByToken;
    unit.record(token.record);
    dependencies.onGrant?.('client_credentials', 'success', token.record.clientId);
    try {
      await unit.commit();
    } catch (error) {
      if (!isAuditUnavailable(error)) throw error;
      ctx.set('Retry-After', String(RETRY_AFTER_SECONDS));
      return answer(ctx, { status: 503, body: UNAVAILABLE, exposed });
    }
    return answer(ctx, { status: 200, body: token.answer, exposed });
  };

  return async (ctx, next) => {
    if (ctx.method !== 'POST' || !isPlain(ctx.req)) return next();
    if (ctx.path === introspectionPath) return answerIntrospection(ctx, next);
    if (ctx.path === tokenPath) return answerClientCredentials(ctx, next);
    return next();
  };
}

/** Whatever went wrong, the library meets it too, and knows how to say it. Nothing has happened yet. */
async function orLibrary<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch {
    return undefined;
  }
}

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
