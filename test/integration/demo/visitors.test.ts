import { afterEach, describe, expect, it } from '@jest/globals';
import Koa from 'koa';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { createVisitors, remember, take } from '../../../src/demo/visitors.ts';
import { createWebBrowser } from './web-browser.ts';

let server: Server | undefined;

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** Tells the id of whoever comes; meets them at `/meet`. */
async function serve(maxVisitors: number): Promise<string> {
  const visitors = createVisitors({ cookieName: 'demo', maxVisitors });
  const app = new Koa();
  app.use((ctx) => {
    ctx.body = (ctx.path === '/meet' ? visitors.meet(ctx) : visitors.find(ctx))?.id ?? 'nobody';
  });
  const listening = app.listen(0, '127.0.0.1');
  server = listening;
  await new Promise((resolve) => {
    listening.once('listening', resolve);
  });
  return `http://127.0.0.1:${(listening.address() as AddressInfo).port}`;
}

describe('the visitors of an application', () => {
  it('are bounded: who was away longest is forgotten', async () => {
    const origin = await serve(3);
    const browsers = Array.from({ length: 4 }, () => createWebBrowser());
    const [first] = browsers;
    for (const browser of browsers.slice(0, 3)) await browser.request(`${origin}/meet`);
    await first?.request(`${origin}/`);
    await browsers[3]?.request(`${origin}/meet`);
    const known = await Promise.all(browsers.map(async (each) => (await each.request(`${origin}/`)).text()));
    expect(known.map((id) => id === 'nobody')).toEqual([false, true, false, false]);
  });
});

describe('the sign-ins under way', () => {
  const pending = (state: string) => ({ purpose: 'sign-in', state, nonce: '', codeVerifier: '' }) as const;

  it('are taken once, and the oldest of more than ten is given up', () => {
    const visitor = { id: 'id', pending: new Map(), isConfirmed: false };
    for (let tab = 0; tab <= 10; tab += 1) remember(visitor, pending(String(tab)));
    expect(take(visitor, '0')).toBeUndefined();
    expect(take(visitor, '10')?.state).toBe('10');
    expect(take(visitor, '10')).toBeUndefined();
  });
});
