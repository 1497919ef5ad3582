import type { Middleware } from 'koa';

import type { Metrics } from '../platform/metrics.ts';

/** First match wins. Few groups, and fixed: a label made from the path would let strangers fill the memory. */
const groups: readonly (readonly [group: string, path: RegExp])[] = [
  ['health', /^\/healthz\//],
  ['discovery', /^\/\.well-known\//],
  ['authorize', /^\/oauth\/authorize(\/|$)/],
  ['token', /^\/oauth\/token$/],
  ['userinfo', /^\/oauth\/userinfo$/],
  ['jwks', /^\/oauth\/jwks$/],
  ['introspect', /^\/oauth\/introspect$/],
  ['revoke', /^\/oauth\/revoke$/],
  ['par', /^\/oauth\/par$/],
  ['logout', /^\/oauth\/logout(\/|$)/],
  ['oauth_other', /^\/oauth\//],
  ['interaction', /^\/interaction(\/|$)/],
  ['device', /^\/device(\/|$)/],
  ['account', /^\/account(\/|$)/],
  ['admin', /^\/admin(\/|$)/],
];

/** @param path below the issuer's own path */
export function routeGroupOf(path: string): string {
  return groups.find(([, pattern]) => pattern.test(path))?.[0] ?? 'other';
}

/**
 * Counts every request once its response has been sent or given up. Status 499 stands for a client that went away first.
 *
 * @param issuerPath the issuer's path, which is taken off before grouping; empty where it has none
 */
export function createRequestMetrics({
  metrics,
  issuerPath = '',
}: {
  metrics: Metrics;
  issuerPath?: string;
}): Middleware {
  return async (ctx, next) => {
    const startedAt = performance.now();
    const path = ctx.path.startsWith(`${issuerPath}/`) ? ctx.path.slice(issuerPath.length) : ctx.path;
    ctx.res.once('close', () => {
      metrics.httpRequest({
        group: routeGroupOf(path),
        status: ctx.res.writableFinished ? ctx.res.statusCode : 499,
        seconds: (performance.now() - startedAt) / 1000,
      });
    });
    await next();
  };
}
