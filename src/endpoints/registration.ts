/**
 * `/oauth/register`: clients register themselves (RFC 7591 §3) and look after what they registered (RFC 7592 §2). An
 * endpoint of the protocol: called by programs, from anywhere, with a bearer token or none, never with a cookie.
 */
import type { Context, Middleware } from 'koa';

import type { AuditEvent } from '../audit/events.ts';
import { currentUnitOfWork } from '../audit/unit-of-work.ts';
import { presentMetadata } from '../clients/registration/metadata.ts';
import type { RegistrationService, Registered } from '../clients/registration/service.ts';
import { AppError } from '../platform/errors.ts';
import type { Attempt } from '../platform/rate-limit.ts';
import { currentRequest } from '../platform/request-context.ts';
import { readJson } from './json-body.ts';

export interface RegistrationEndpoint {
  issuer: string;
  registration: RegistrationService;
  /** Counts by address whoever registers without a token, and whatever is refused. */
  attempt: (address: string) => Promise<Attempt>;
}

export const REGISTRATION_PATH = '/oauth/register';
const MAX_BODY_BYTES = 64 * 1024;
const MAX_REASON_LENGTH = 300;

/** Below the issuer's path. */
export function createRegistrationEndpoint(endpoint: RegistrationEndpoint): Middleware {
  return async (ctx, next) => {
    const clientId = clientIdIn(ctx.path);
    if (ctx.path !== REGISTRATION_PATH && clientId === undefined) return next();
    // Any page may call it: nothing that a browser adds by itself counts here.
    ctx.vary('Origin');
    ctx.set('Access-Control-Allow-Origin', ctx.get('Origin') || '*');
    ctx.set('Cache-Control', 'no-store');
    ctx.set('Pragma', 'no-cache');
    const allowed = clientId === undefined ? 'POST' : 'GET, PUT, DELETE';
    if (ctx.method === 'OPTIONS') answerPreflight(ctx, allowed);
    else if (!allowed.split(', ').includes(ctx.method)) refuseMethod(ctx, allowed);
    else await answer(ctx, clientId, endpoint);
    return undefined;
  };
}

async function answer(
  ctx: Context,
  clientId: string | undefined,
  endpoint: RegistrationEndpoint,
): Promise<void> {
  try {
    await (clientId === undefined ? register(ctx, endpoint) : manage(ctx, clientId, endpoint));
  } catch (error) {
    const isRefusal = error instanceof AppError && (error.status < 500 || error.code === 'too_many_clients');
    if (!isRefusal) throw inOurWords(error);
    refuse(ctx, error, clientId);
  }
}

async function register(
  ctx: Context,
  { registration, attempt: attemptFrom, issuer }: RegistrationEndpoint,
): Promise<void> {
  const attempt = await attemptFrom(currentRequest()?.ip ?? 'unknown');
  if (attempt.kind === 'throttled') {
    currentUnitOfWork()?.record({
      type: 'client.registration_throttled',
      outcome: 'failure',
      payload: { retry_after_seconds: attempt.retryAfterSeconds },
    });
    ctx.status = 429;
    ctx.set('Retry-After', String(attempt.retryAfterSeconds));
    ctx.body = {
      error: 'too_many_requests',
      error_description: 'Too many clients were registered from here. Wait.',
    };
    return;
  }
  const token = bearerOf(ctx);
  const registered = await registration.register(await readJson(ctx, { maxBytes: MAX_BODY_BYTES }), token);
  if (token !== undefined) await attempt.giveBack();
  ctx.status = 201;
  ctx.body = answerOf(registered, issuer);
}

async function manage(
  ctx: Context,
  clientId: string,
  { registration, issuer }: RegistrationEndpoint,
): Promise<void> {
  const accessToken = bearerOf(ctx) ?? '';
  switch (ctx.method) {
    case 'GET': {
      const client = await registration.read(clientId, accessToken);
      currentUnitOfWork()?.record({
        type: 'client.registration_read',
        outcome: 'success',
        actor: { kind: 'client', id: clientId },
        clientId,
        payload: {},
      });
      ctx.body = answerOf({ client, accessToken }, issuer);
      return;
    }
    case 'PUT':
      ctx.body = answerOf(
        await registration.replace(clientId, accessToken, await readJson(ctx, { maxBytes: MAX_BODY_BYTES })),
        issuer,
      );
      return;
    default:
      await registration.remove(clientId, accessToken);
      ctx.status = 204;
  }
}

/** RFC 7591 §3.2.1, RFC 7592 §3. A secret never expires here: it is replaced by registering anew. */
function answerOf({ client, accessToken, secret }: Registered, issuer: string): Record<string, unknown> {
  return {
    ...presentMetadata(client),
    ...(secret !== undefined && { client_secret: secret, client_secret_expires_at: 0 }),
    registration_access_token: accessToken,
    registration_client_uri: `${issuer}${REGISTRATION_PATH}/${client.clientId}`,
  };
}

/** RFC 7591 §3.2.2; RFC 6750 §3 where a token is missing or not good. The cause is for the audit log. */
function refuse(ctx: Context, error: AppError, clientId: string | undefined): void {
  const { code, status, message, cause, retryAfterSeconds } = error;
  const reason = (status === 401 && cause instanceof Error ? cause.message : message).slice(
    0,
    MAX_REASON_LENGTH,
  );
  const event: AuditEvent =
    clientId === undefined
      ? { type: 'client.registration_refused', outcome: 'failure', payload: { error: code, reason } }
      : {
          type: 'client.registration_access_refused',
          outcome: 'failure',
          clientId,
          payload: { error: code, reason },
        };
  currentUnitOfWork()?.record(event);
  if (status === 401)
    ctx.set('WWW-Authenticate', bearerOf(ctx) === undefined ? 'Bearer' : `Bearer error="${code}"`);
  if (retryAfterSeconds !== undefined) ctx.set('Retry-After', String(retryAfterSeconds));
  ctx.status = status;
  ctx.body = { error: code, error_description: message };
}

/** The counters speak of signing in; nothing of that is meant here. */
function inOurWords(error: unknown): unknown {
  if (!(error instanceof AppError) || error.code !== 'throttle_unavailable') return error;
  return new AppError(
    'temporarily_unavailable',
    503,
    'No client can be registered at this moment. Try again.',
    {
      cause: error,
      retryAfterSeconds: 2,
    },
  );
}

function answerPreflight(ctx: Context, methods: string): void {
  ctx.set('Access-Control-Allow-Methods', methods);
  ctx.set('Access-Control-Allow-Headers', 'authorization, content-type, mcp-protocol-version');
  ctx.set('Access-Control-Max-Age', '3600');
  ctx.status = 204;
}

function refuseMethod(ctx: Context, allowed: string): void {
  ctx.set('Allow', allowed);
  ctx.state['refusal'] = 'method_not_allowed';
  ctx.status = 405;
  ctx.body = { error: 'invalid_request', error_description: `The methods here are ${allowed}.` };
}

/** RFC 6750 §2.1, and no other way. */
function bearerOf(ctx: Context): string | undefined {
  return /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(ctx.get('Authorization'))?.[1];
}

function clientIdIn(path: string): string | undefined {
  return /^\/oauth\/register\/([A-Za-z0-9._~-]{1,128})$/.exec(path)?.[1];
}
