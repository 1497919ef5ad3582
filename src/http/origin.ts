/**
 * One issuer, one origin. The provider builds every URL it emits from the request (discovery, redirects, DPoP's `htu`,
 * accepted audiences), so a forged `Host` or `X-Forwarded-Host` would end up in them. Here the request is rewritten to
 * what the issuer says, before anybody reads it; what the client claimed is dropped.
 */
import type { Context, Middleware } from 'koa';

import { clientAddress, type TrustedProxies } from './trusted-proxies.ts';

/** @param issuer an absolute URL */
export function canonicalOrigin(issuer: string, trusted: TrustedProxies): Middleware {
  const { host, protocol, pathname } = new URL(issuer);
  const scheme = protocol.slice(0, -1);
  const path = pathname.replace(/\/$/, '');

  return async (ctx, next) => {
    const { headers } = ctx.req;
    dropForeignOrigin(ctx);
    const address = clientAddress(ctx.req, trusted);
    headers.host = host;
    delete headers['forwarded'];
    delete headers['x-forwarded-host'];
    delete headers[':authority'];
    headers['x-forwarded-proto'] = scheme;
    if (address === undefined) delete headers['x-forwarded-for'];
    else headers['x-forwarded-for'] = address;

    // RFC 8414 §3.1 puts the well-known part before the issuer's path; the provider only knows it behind.
    if (path !== '' && ctx.path === `/.well-known/oauth-authorization-server${path}`) {
      ctx.path = `${path}/.well-known/oauth-authorization-server`;
    }
    await next();
  };
}

/** RFC 9112 §3.2.2: a request line may hold a whole URL, and Koa then believes its origin before any header. */
function dropForeignOrigin(ctx: Context): void {
  const target = ctx.req.url ?? '/';
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '');
  if (path === target) return;
  ctx.req.url = path.startsWith('/') ? path : `/${path}`;
  ctx.originalUrl = ctx.req.url;
  ctx.request.originalUrl = ctx.req.url;
}
