/**
 * One issuer, one origin. The provider builds every URL it emits from the request (discovery, redirects, DPoP's `htu`,
 * accepted audiences), so a forged `Host` or `X-Forwarded-Host` would end up in them. Here the request is rewritten to
 * what the issuer says, before anybody reads it; what the client claimed is dropped.
 */
import type { Middleware } from 'koa';

import { clientAddress, type TrustedProxies } from './trusted-proxies.ts';

/** @param issuer an absolute URL */
export function canonicalOrigin(issuer: string, trusted: TrustedProxies): Middleware {
  const { host, protocol, pathname } = new URL(issuer);
  const scheme = protocol.slice(0, -1);
  const path = pathname.replace(/\/$/, '');

  return async (ctx, next) => {
    const { headers } = ctx.req;
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
