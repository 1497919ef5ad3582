import type { Context, Middleware } from 'koa';

import { sendPage } from '../http/page.ts';
import type { Renderer } from '../http/render.ts';
import type { HomeProps } from '../http/views/home.ts';

interface HomeOptions {
  renderer: Renderer;
  issuer: string;
  isDevelopment: boolean;
  /** The demonstration applications; filled when they have started. */
  apps: readonly { name: string; url: string; description: string }[];
  /** Whoever is signed in in this browser. */
  accountOf: (ctx: Context) => Promise<HomeProps['account']>;
}

/** What a person sees who opens the issuer's own address. */
export function createHomeRoute({
  renderer,
  issuer,
  isDevelopment,
  apps,
  accountOf,
}: HomeOptions): Middleware {
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
    const account = await accountOf(ctx);
    sendPage(ctx, renderer.home({ account, ...(isDevelopment ? { development } : {}) }));
  };
}
