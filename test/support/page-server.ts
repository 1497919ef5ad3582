import type { AddressInfo } from 'node:net';
import Koa from 'koa';
import { loadAssets } from '../../src/http/assets.ts';
import { createRenderer } from '../../src/http/render.ts';
import { securityHeaders } from '../../src/http/security-headers.ts';
import type { PageState } from './page-states.ts';

export interface PageServer {
  /** Where a state is served, by its name. */
  urlOf: (name: string) => string;
  close: () => Promise<void>;
}

/** Serves each state at a loopback address of its own, below a path like an issuer's, with the strict policy. */
export async function servePages(states: readonly PageState[], port = 0): Promise<PageServer> {
  const assets = loadAssets({ pathPrefix: '/auth' });
  const render = createRenderer({
    branding: {
      name: 'Gatehouse',
      privacyUrl: 'https://example.test/privacy',
      termsUrl: 'https://example.test/terms',
    },
    assetBase: assets.base,
  });
  const app = new Koa();
  app.use(securityHeaders({ isHttps: false }));
  app.use(assets.middleware);
  app.use((ctx) => {
    const state = states.find(({ name }) => ctx.path === pathOf(name));
    if (state) {
      ctx.type = 'html';
      ctx.body = state.html(render);
    }
  });
  const server = app.listen(port, '127.0.0.1');
  await new Promise((resolve) => {
    server.once('listening', resolve);
  });
  const { port: bound } = server.address() as AddressInfo;
  return {
    urlOf: (name) => `http://127.0.0.1:${bound}${pathOf(name)}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

function pathOf(name: string): string {
  return `/auth/pages/${name}`;
}
