import { randomUUID } from 'node:crypto';

import type { Middleware } from 'koa';

import { runInRequest } from '../platform/request-context.ts';
import { clientAddress, type TrustedProxies } from './trusted-proxies.ts';

const ACCEPTABLE = /^[\w.-]{8,128}$/;

/**
 * Gives every request its id, the same in the response, the log and the audit records: a trusted proxy's own
 * `X-Request-Id`, else a new one. Everything that follows runs in that request's context.
 */
export function requestId(trusted: TrustedProxies): Middleware {
  return async (ctx, next) => {
    const given = ctx.get('X-Request-Id');
    const isTrusted = trusted.includes(ctx.req.socket.remoteAddress);
    const id = isTrusted && ACCEPTABLE.test(given) ? given : randomUUID();
    const userAgent = ctx.get('User-Agent').slice(0, 500);
    ctx.state['requestId'] = id;
    ctx.set('X-Request-Id', id);
    const ip = clientAddress(ctx.req, trusted);
    await runInRequest({ requestId: id, ...(ip ? { ip } : {}), ...(userAgent ? { userAgent } : {}) }, next);
  };
}

/** The id of the request, for pages and answers. */
export function requestIdOf(ctx: { state: Record<string, unknown> }): string {
  return String(ctx.state['requestId']);
}
