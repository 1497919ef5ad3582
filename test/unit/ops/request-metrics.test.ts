import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import Koa from 'koa';

import { createRequestMetrics, routeGroupOf } from '../../../src/ops/request-metrics.ts';
import { createMetrics } from '../../../src/platform/metrics.ts';

describe('the group of a route', () => {
  it.each([
    ['/oauth/token', 'token'],
    ['/oauth/token/x', 'oauth_other'],
    ['/oauth/authorize', 'authorize'],
    ['/oauth/authorize/abc123', 'authorize'],
    ['/oauth/device_authorization', 'oauth_other'],
    ['/oauth/logout/confirm', 'logout'],
    ['/.well-known/openid-configuration', 'discovery'],
    ['/interaction/abc/login', 'interaction'],
    ['/interactions', 'other'],
    ['/account', 'account'],
    ['/healthz/ready', 'health'],
    ['/wp-login.php', 'other'],
    ['/', 'other'],
  ])('of %s is %s', (path, group) => {
    expect(routeGroupOf(path)).toBe(group);
  });
});

describe('a request', () => {
  const metrics = createMetrics({ isProcessIncluded: false });
  let server: Server;
  let origin: string;
  let reached: () => void;

  beforeEach(async () => {
    const app = new Koa();
    app.silent = true;
    app.use(createRequestMetrics({ metrics, issuerPath: '/id' }));
    app.use(async (ctx) => {
      if (ctx.path === '/id/oauth/userinfo') throw new Error('fault');
      if (ctx.path === '/id/account/slow') {
        reached();
        await new Promise((resolve) => ctx.res.once('close', resolve));
      }
      ctx.body = 'done';
    });
    const handle = app.callback();
    server = createServer((incoming, response) => void handle(incoming, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterEach(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  );

  async function counted(group: string, status: number): Promise<boolean> {
    return (await metrics.render()).includes(
      `gatehouse_http_request_seconds_count{group="${group}",status="${status}"} 1`,
    );
  }

  it.each([
    ['/id/oauth/token', 'token', 200],
    ['/id/oauth/userinfo', 'userinfo', 500],
    ['/.well-known/oauth-authorization-server/id', 'discovery', 200],
  ])('to %s is counted as %s with %i', async (path, group, status) => {
    await (await fetch(origin + path)).text();
    expect(await counted(group, status)).toBe(true);
  });

  it('that its client gave up is counted as 499', async () => {
    const arrived = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const pending = request(`${origin}/id/account/slow`).once('error', () => {});
    pending.end();
    await arrived;
    pending.destroy();
    for (let attempt = 0; attempt < 100 && !(await counted('account', 499)); attempt += 1) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(await counted('account', 499)).toBe(true);
  });
});
