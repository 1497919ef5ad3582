import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import Koa from 'koa';
import { loadAssets } from '../../../src/http/assets.ts';

const assets = loadAssets({ pathPrefix: '/auth' });
let server: Server;
let origin: string;

beforeAll(async () => {
  const app = new Koa();
  app.use(assets.middleware);
  app.use((ctx) => {
    ctx.status = 404;
    ctx.body = 'passed on';
  });
  server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => {
    server.once('listening', resolve);
  });
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => {
    server.close(resolve);
  });
});

describe('assets', () => {
  it('stand below the path of the issuer, at a path that names their content', () => {
    expect(assets.base).toMatch(/^\/auth\/assets\/[\w-]{16}$/u);
    expect(loadAssets().base).toBe(assets.base.replace('/auth', ''));
  });

  it.each([
    ['gatehouse.css', 'text/css; charset=utf-8'],
    ['gatehouse.js', 'text/javascript; charset=utf-8'],
    ['favicon.svg', 'image/svg+xml'],
  ])('serve %s as %s, to be kept for ever', async (name, type) => {
    const response = await fetch(`${origin}${assets.base}/${name}`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe(type);
    expect(response.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect((await response.text()).length).toBeGreaterThan(100);
  });

  it('answer HEAD without a body', async () => {
    const response = await fetch(`${origin}${assets.base}/gatehouse.css`, { method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(Number(response.headers.get('content-length'))).toBeGreaterThan(100);
    expect(await response.text()).toBe('');
  });

  it('serve a page of another version without letting its answer stick', async () => {
    const response = await fetch(`${origin}/auth/assets/another-version0/gatehouse.css`);
    expect(response.status).toBe(200);
    expect(response.headers.get('cache-control')).toBe('no-store');
  });

  it.each(['/nothing.css', '/', '', '/sub/gatehouse.css', '/..%2f..%2fpackage.json', '/constructor'])(
    'pass on what they do not have: %p',
    async (path) => {
      const response = await fetch(`${origin}${assets.base}${path}`);
      expect(await response.text()).toBe('passed on');
    },
  );

  it('pass on other methods, and the same path outside the issuer', async () => {
    const posted = await fetch(`${origin}${assets.base}/gatehouse.css`, { method: 'POST' });
    expect(posted.status).toBe(404);
    const outside = await fetch(`${origin}${assets.base.replace('/auth', '')}/gatehouse.css`);
    expect(outside.status).toBe(404);
  });
});
