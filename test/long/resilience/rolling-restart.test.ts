import { setTimeout as delay } from 'node:timers/promises';

import { afterEach, describe, expect, it } from '@jest/globals';

import { createDeployment, type Deployment } from '../../support/deployment.ts';
import type { GatehouseProcess } from '../../support/gatehouse-process.ts';
import { startLoad, type Load } from '../../support/load.ts';
import { expectEvidence } from '../../support/outage.ts';
import { freePort } from '../../support/ports.ts';
import { startHaproxy, type Balancer } from '../../support/services/haproxy.ts';

const DRAIN_SECONDS = 2;

let deployment: Deployment | undefined;
let balancer: Balancer | undefined;
let load: Load | undefined;

afterEach(async () => {
  load?.abandon();
  await balancer?.stop();
  await deployment?.stop();
});

describe('two servers behind HAProxy, restarted one after the other under load', () => {
  it('fail no request, honour the drain time and record their stop', async () => {
    const [front, first, second] = [await freePort(), await freePort(), await freePort()];
    deployment = await createDeployment({
      store: 'redis',
      port: front,
      env: { GATEHOUSE_SHUTDOWN_DRAIN_SECONDS: String(DRAIN_SECONDS) },
    });
    const start = (port: number): Promise<GatehouseProcess> =>
      deployment!.startServer({ PORT: String(port) });
    const servers = [await start(first), await start(second)];
    balancer = await startHaproxy({ directory: deployment.directory, port: front, servers: [first, second] });

    load = await startLoad({ server: deployment, clients: 3, pauseMs: 10 });
    await delay(1_000);
    for (const [index, port] of [first, second].entries()) {
      const before = performance.now();
      expect(await servers[index]!.stop()).toBe(0);
      const tookMs = performance.now() - before;
      expect(tookMs).toBeGreaterThanOrEqual(DRAIN_SECONDS * 1_000);
      expect(tookMs).toBeLessThan(DRAIN_SECONDS * 1_000 + 10_000);
      servers[index] = await start(port);
      // The balancer has to see it before the other one goes.
      await delay(1_500);
    }
    await load.finish();

    const failed = load.noted.filter(({ status, error }) => status === 0 || status >= 400 || error);
    process.stderr.write(`rolling restart: ${load.noted.length} requests, ${failed.length} failed\n`);
    expect(failed).toEqual([]);
    expect(load.surprises).toEqual([]);
    for (const count of Object.values(load.done)) expect(count).toBeGreaterThan(0);
    const { events } = await deployment.subjects.audit.list({ types: ['server.stopped'] });
    expect(events).toHaveLength(2);
    await expectEvidence(load, deployment);
  }, 120_000);
});
