/** One demo application as a Koa app: what every request passes, in order, and the one place where faults are told. */
import Koa, { type Context, type Middleware } from 'koa';

import type { Assets } from '../http/assets.ts';
import { sendPage } from '../http/page.ts';
import type { Renderer } from '../http/render.ts';
import { requestId, requestIdOf } from '../http/request-id.ts';
import { refuseCrossSitePosts } from '../http/same-site.ts';
import { securityHeaders } from '../http/security-headers.ts';
import { createTrustedProxies } from '../http/trusted-proxies.ts';
import { AppError } from '../platform/errors.ts';
import type { Logger } from '../platform/logger.ts';
import type { DemoClient } from './applications.ts';
import { describeFault } from './faults.ts';
import { createRelyingParty } from './relying-party.ts';
import { createApplicationRoutes } from './routes.ts';
import { createVisitors } from './visitors.ts';

export interface ApplicationOptions {
  client: DemoClient;
  other: DemoClient;
  issuer: string;
  secret: string;
  issuerName: string;
  assets: Assets;
  renderer: Renderer;
  logger: Logger;
}

export function createApplication(options: ApplicationOptions): Koa {
  const { client, issuer, secret, assets, logger } = options;
  const app = new Koa();
  app.on('error', (error: unknown) => logger.debug({ err: error }, 'a connection failed'));

  app.use(requestId(createTrustedProxies([])));
  app.use(securityHeaders({ isHttps: false }));
  app.use(faultPages(options));
  app.use(ownAddress(client));
  app.use(assets.middleware);
  app.use(refuseCrossSitePosts({ origin: client.origin }));
  app.use(
    createApplicationRoutes({
      ...options,
      relyingParty: createRelyingParty({ issuer, client, secret }),
      visitors: createVisitors({ cookieName: client.clientId }),
    }),
  );
  return app;
}

/** By another name (`localhost`) the browser would keep a cookie that the callback never sees. */
function ownAddress({ clientUri, origin }: DemoClient): Middleware {
  const { host } = new URL(origin);
  return async (ctx, next) => {
    if (ctx.host === host) await next();
    else if (ctx.method === 'GET' || ctx.method === 'HEAD') ctx.redirect(clientUri);
    else throw new AppError('cross_site_request', 403, 'The form was sent to another address.');
  };
}

function faultPages({ client, issuerName, renderer, logger }: ApplicationOptions): Middleware {
  const tell = (ctx: Context, error: unknown): void => {
    const fault = describeFault(error, { application: client.name, issuer: issuerName });
    const { technical } = fault;
    // Not the error itself: its causes hold what the issuer sent, codes and tokens among it.
    const reason = { reason: (error as Error).message, error: technical.code, path: ctx.path };
    if (fault.status >= 500) logger.warn(reason, 'a demo request failed');
    else logger.debug(reason, 'a demo request was refused');
    sendPage(
      ctx,
      renderer.demoError({ application: client, ...fault, requestId: requestIdOf(ctx) }),
      fault.status,
    );
  };
  return async (ctx, next) => {
    try {
      await next();
      if (ctx.status === 404) tell(ctx, new AppError('not_found', 404, 'There is no such page.'));
    } catch (error) {
      tell(ctx, error);
    }
  };
}
