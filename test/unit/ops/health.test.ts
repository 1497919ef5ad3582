import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, describe, expect, it } from '@jest/globals';
import Koa from 'koa';

import { createHealth, type Health, type HealthCheck } from '../../../src/ops/health.ts';
import { createLogger } from '../../../src/platform/logger.ts';

const servers: Server[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});

async function serve(health: Health): Promise<(path: string, init?: RequestInit) => Promise<Response>> {
  const app = new Koa();
  app.use(health.middleware);
  app.use((ctx) => {
    ctx.body = 'next';
  });
  const handle = app.callback();
  const server = createServer((request, response) => void handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push(server);
  const { port } = server.address() as AddressInfo;
  return (path, init) =>
    fetch(`http://127.0.0.1:${port}${path}`, { ...init, headers: { connection: 'close' } });
}

const up: HealthCheck = async () => {};
const down: HealthCheck = async () => {
  throw new Error('connect ECONNREFUSED 10.1.2.3:5432');
};
const hanging: HealthCheck = () => new Promise(() => {});

describe('readiness', () => {
  it.each<[string, Record<string, HealthCheck>, number, object]>([
    [
      'all is up',
      { database: up, redis: up },
      200,
      { status: 'ready', checks: { database: 'up', redis: 'up' } },
    ],
    ['nothing is checked', {}, 200, { status: 'ready', checks: {} }],
    [
      'one is down',
      { database: down, redis: up },
      503,
      { status: 'not_ready', checks: { database: 'down', redis: 'up' } },
    ],
    [
      'one does not answer',
      { database: up, redis: hanging },
      503,
      { status: 'not_ready', checks: { database: 'up', redis: 'down' } },
    ],
  ])('when %s', async (_case, checks, status, body) => {
    const get = await serve(createHealth({ checks, checkTimeoutMs: 50 }));
    const response = await get('/healthz/ready');
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual(body);
    expect(response.headers.get('cache-control')).toBe('no-store');
  });

  it('turns false at once while draining, whatever the dependencies say', async () => {
    const health = createHealth({ checks: { database: up }, freshForMs: 60_000 });
    const get = await serve(health);
    expect((await get('/healthz/ready')).status).toBe(200);
    health.startDraining();
    const response = await get('/healthz/ready');
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({ status: 'draining', checks: { database: 'up' } });
  });

  it('tells the reason to the log once, and to nobody else', async () => {
    const lines: string[] = [];
    const logger = createLogger({
      level: 'info',
      format: 'json',
      stream: { write: (line) => void lines.push(line) },
    });
    let check = down;
    const health = createHealth({ checks: { database: () => check() }, logger, freshForMs: 0 });
    const get = await serve(health);
    await get('/healthz/ready');
    expect(await (await get('/healthz/ready')).text()).not.toContain('10.1.2.3');
    check = up;
    await get('/healthz/ready');
    expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual([
      'not ready',
      'ready again',
    ]);
    expect(lines[0]).toContain('10.1.2.3');
  });

  it('asks a dependency once for many probes at a time, and again later', async () => {
    let asked = 0;
    const check = async (): Promise<void> => {
      asked += 1;
      await sleep(20);
    };
    const health = createHealth({ checks: { database: check }, freshForMs: 100 });
    await Promise.all(Array.from({ length: 50 }, () => health.report()));
    expect(asked).toBe(1);
    await sleep(120);
    await health.report();
    expect(asked).toBe(2);
  });
});

describe('liveness', () => {
  it('stays true while a dependency is down and while draining', async () => {
    const health = createHealth({ checks: { database: hanging } });
    health.startDraining();
    const get = await serve(health);
    const response = await get('/healthz/live');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: 'live' });
  });
});

describe('the health middleware', () => {
  it.each(['/', '/healthz', '/healthz/live/', '/healthz/other'])('leaves %s to the rest', async (path) => {
    const get = await serve(createHealth({ checks: {} }));
    expect(await (await get(path)).text()).toBe('next');
  });

  it('answers HEAD, and refuses other methods', async () => {
    const get = await serve(createHealth({ checks: {} }));
    expect((await get('/healthz/ready', { method: 'HEAD' })).status).toBe(200);
    const response = await get('/healthz/ready', { method: 'POST' });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });
});
