import type { Middleware } from 'koa';

import { sendPage } from '../http/page.ts';
import type { Renderer } from '../http/render.ts';

interface HomeOptions {
  renderer: Renderer;
  issuer: string;
  isDevelopment: boolean;
  /** The demonstration applications; filled when they have started. */
  apps: readonly { name: string; url: string; description: string }[];
}

/** What a person sees who opens the issuer's own address. */
export function createHomeRoute({ renderer, issuer, isDevelopment, apps }: HomeOptions): Middleware {
  return async (ctx, next) => {
    if (ctx.path !== '/' || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) {
      await next();
      return;
    }
    const development = {
      apps,
      documentationPath: 'README.md',
      discoveryUrl: `${issuer}/.well-known/openid-configuration`,
    };
    sendPage(ctx, renderer.home(isDevelopment ? { development } : {}));
  };
}
