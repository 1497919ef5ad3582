import type { Middleware } from 'koa';

import { AppError } from '../platform/errors.ts';

/**
 * Refuses what another site makes a browser send to *our* forms (cross-site request forgery): by `Sec-Fetch-Site`,
 * which pages cannot forge, else by `Origin`. A request with neither comes from no browser and carries nobody's
 * cookies. The protocol endpoints are exempt: they are meant to be called from elsewhere.
 */
export function refuseCrossSitePosts({ origin }: { origin: string }): Middleware {
  return async (ctx, next) => {
    if (
      ctx.method !== 'GET' &&
      ctx.method !== 'HEAD' &&
      isForeign(ctx.get('Sec-Fetch-Site'), ctx.get('Origin'), origin)
    ) {
      throw new AppError(
        'cross_site_request',
        403,
        'This form was sent from another site, so nothing was done. Open the page here and send it again.',
      );
    }
    await next();
  };
}

function isForeign(fetchSite: string, requestOrigin: string, ownOrigin: string): boolean {
  if (fetchSite !== '') return fetchSite !== 'same-origin' && fetchSite !== 'none';
  return requestOrigin !== '' && requestOrigin !== ownOrigin;
}
