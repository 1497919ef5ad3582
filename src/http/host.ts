/**
 * The Koa host: one ordered list of what every request passes. Reading it from top to bottom is the life of a request;
 * who wants to know whether something runs before something else looks here.
 */
import Koa, { type Middleware } from 'koa';
import mount from 'koa-mount';

import type { Logger } from '../platform/logger.ts';
import type { Assets } from './assets.ts';
import type { ClientCertificates } from './client-certificates.ts';
import { errorResponses } from './errors.ts';
import { formBody } from './form.ts';
import { canonicalOrigin } from './origin.ts';
import { published } from './published.ts';
import { recorded, type Recording } from './recorded.ts';
import type { Renderer } from './render.ts';
import { requestId } from './request-id.ts';
import { refuseCrossSitePosts } from './same-site.ts';
import { securityHeaders } from './security-headers.ts';
import { createTrustedProxies } from './trusted-proxies.ts';

export interface HostOptions {
  issuer: string;
  trustedProxies: readonly string[];
  clientCertificates: ClientCertificates;
  renderer: Renderer;
  assets: Assets;
  logger: Logger;
  /** Before anything that looks at the Host header: liveness, readiness, counting. */
  operations: readonly Middleware[];
  /** How long others may keep discovery and the JWKS. */
  publishedMaxAgeSeconds: number;
  /** Answers some of the protocol's requests in the provider's place. */
  fastPaths: Middleware | undefined;
  /** The provider of now, mounted below the issuer's path. Its cookies are signed by the same keys as ours. */
  protocol: () => Koa;
  runRecorded: <T>(work: (unit: Recording) => T) => T;
  /** Endpoints of the protocol that are ours, below the issuer's path: called from anywhere, never with a cookie. */
  endpoints: readonly Middleware[];
  /** The doors, below the issuer's path. */
  doors: readonly Middleware[];
}

/** The provider's documents that are the same for everybody, below the issuer's path. */
const PUBLISHED = [
  '/.well-known/openid-configuration',
  '/.well-known/oauth-authorization-server',
  '/oauth/jwks',
] as const;

export function createHost(options: HostOptions): Koa {
  const { issuer, renderer, logger, protocol } = options;
  const { origin, protocol: scheme, pathname } = new URL(issuer);
  const trusted = createTrustedProxies(options.trustedProxies);
  const path = pathname.replace(/\/$/, '') || '/';

  const host = new Koa();
  // canonicalOrigin writes the forwarded headers itself, so Koa may believe them.
  host.proxy = true;
  Object.defineProperty(host, 'keys', { get: () => protocol().keys });
  host.on('error', (error: unknown) => logger.debug({ err: error }, 'a connection failed'));

  host.use(requestId(trusted));
  host.use(options.clientCertificates.dropForged);
  for (const middleware of options.operations) host.use(middleware);
  host.use(errorResponses({ renderer, logger, homeUrl: `${path === '/' ? '' : path}/` }));
  host.use(canonicalOrigin(issuer, trusted));
  host.use(securityHeaders({ isHttps: scheme === 'https:' }));
  host.use(options.assets.middleware);
  host.use(
    published({
      paths: PUBLISHED.map((place) => (path === '/' ? place : path + place)),
      current: protocol,
      maxAgeSeconds: options.publishedMaxAgeSeconds,
    }),
  );
  host.use(recorded(options.runRecorded));
  if (options.fastPaths) host.use(options.fastPaths);
  host.use(mountCurrent(path, protocol));
  host.use(mount(path, composed(options.endpoints)));
  host.use(mount(path, composed([refuseCrossSitePosts({ origin }), formBody(), ...options.doors])));
  return host;
}

/** The provider is swapped when the keys change; a request stays with the one it met. */
function mountCurrent(path: string, current: () => Koa): Middleware {
  const mounted = new WeakMap<Koa, Middleware>();
  return (ctx, next) => {
    const app = current();
    let middleware = mounted.get(app);
    if (!middleware) {
      middleware = mount(path, app);
      mounted.set(app, middleware);
    }
    return middleware(ctx, next);
  };
}

function composed(middlewares: readonly Middleware[]): Koa {
  const app = new Koa();
  for (const middleware of middlewares) app.use(middleware);
  return app;
}
