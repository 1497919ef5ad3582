import { request } from 'node:http';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { createMetricsServer, type MetricsServer } from '../../../src/ops/metrics-server.ts';
import { createLogger } from '../../../src/platform/logger.ts';
import { createMetrics } from '../../../src/platform/metrics.ts';

const logger = createLogger({ level: 'silent', format: 'json' });
const metrics = createMetrics({ isProcessIncluded: false });

let server: MetricsServer;
let origin: string;
let port: number;

beforeEach(async () => {
  server = createMetricsServer({ metrics, listen: { address: '127.0.0.1', port: 0 }, logger });
  ({ port } = await server.start());
  origin = `http://127.0.0.1:${port}`;
});

afterEach(() => server.close());

describe('the metrics listener', () => {
  it('serves the Prometheus text format', async () => {
    metrics.signIn('success');
    const response = await fetch(`${origin}/metrics?name=x`);
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(await response.text()).toContain('gatehouse_sign_ins_total');
  });

  it.each([
    ['GET', '/', 404],
    ['GET', '/metrics/', 404],
    ['POST', '/metrics', 405],
    ['HEAD', '/metrics', 200],
  ])('answers %s %s with %i', async (method, path, status) => {
    expect((await fetch(origin + path, { method })).status).toBe(status);
  });

  it('refuses to start on an address that is taken', async () => {
    const second = createMetricsServer({ metrics, listen: { address: '127.0.0.1', port }, logger });
    await expect(second.start()).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  it('closes with a scraper still connected', async () => {
    const connected = new Promise((resolve) => {
      request(`${origin}/metrics`, { headers: { connection: 'keep-alive' } }, (response) => {
        response.resume().once('end', resolve);
      })
        .once('error', () => {})
        .end();
    });
    await connected;
    await server.close();
    await expect(fetch(`${origin}/metrics`)).rejects.toThrow();
  });

  it('answers 500 when metrics cannot be collected', async () => {
    const broken = createMetrics({ isProcessIncluded: false });
    broken.watchDatabasePool(() => {
      throw new Error('closed');
    });
    const failing = createMetricsServer({
      metrics: broken,
      listen: { address: '127.0.0.1', port: 0 },
      logger,
    });
    const address = await failing.start();
    expect((await fetch(`http://127.0.0.1:${address.port}/metrics`)).status).toBe(500);
    await failing.close();
  });
});
