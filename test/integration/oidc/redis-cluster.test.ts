import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { createRedisStore } from '../../../src/oidc/store/redis-store.ts';
import { createRedis } from '../../../src/platform/redis.ts';
import { createSealer, sealingKeyFrom } from '../../../src/platform/seal.ts';
import { redeem, refresh, signedIn } from '../../support/application.ts';
import { createTestClock } from '../../support/clock.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { freePort } from '../../support/ports.ts';
import { endEverything, useEverything } from '../../support/store-use.ts';

let port: number;
let node: ChildProcess;
let directory: string;
let server: TestServer;

beforeAll(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'gh-cluster-'));
  // The node and its bus.
  port = await freePort(2);
  const settings = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', directory, '--save', ''];
  const cluster = [
    '--cluster-enabled',
    'yes',
    '--cluster-port',
    `${port + 1}`,
    '--cluster-announce-ip',
    '127.0.0.1',
    '--maxmemory-policy',
    'noeviction',
  ];
  node = spawn('redis-server', [...settings, ...cluster], { stdio: 'ignore' });
  await takeAllSlots();
  const env = { GATEHOUSE_REDIS_URL: `redis://127.0.0.1:${port}`, GATEHOUSE_REDIS_CLUSTER: 'true' };
  server = await startGatehouse({ store: 'redis', env });
});
afterAll(async () => {
  await server?.stop();
  node.kill();
  await rm(directory, { recursive: true, force: true });
});

/** A cluster of one node refuses keys that are not its own, as any node does. */
async function takeAllSlots(): Promise<void> {
  const redis = createRedis({ url: `redis://127.0.0.1:${port}` });
  const deadline = Date.now() + 15_000;
  for (;;) {
    try {
      if (redis.status === 'wait' || redis.status === 'end') await redis.connect();
      await redis.call('cluster', 'addslotsrange', '0', '16383').catch(() => {});
      if (String(await redis.call('cluster', 'info')).includes('cluster_state:ok')) break;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  redis.disconnect();
}

it('is not mistaken for a single server', async () => {
  const env = { GATEHOUSE_REDIS_URL: `redis://127.0.0.1:${port}` };
  await expect(startGatehouse({ store: 'redis', env })).rejects.toMatchObject({ code: 'redis_is_cluster' });
});

it('signs in, refreshes and refuses a replay on a Redis Cluster', async () => {
  const { application, tokens, code, verifier } = await signedIn(server);
  expect((await refresh(server, application, tokens.refresh_token ?? '')).status).toBe(200);
  expect((await redeem(server, application, { code, verifier })).status).toBe(400);
});

it('never names keys of two slots in one command', async () => {
  const redis = createRedis({ url: `redis://127.0.0.1:${port}`, isCluster: true });
  await redis.connect();
  try {
    const sealer = createSealer([sealingKeyFrom('a secret of more than thirty-two characters')]);
    const store = createRedisStore({ redis, keyPrefix: 'everything', clock: createTestClock(), sealer });
    // It refuses whatever does.
    for (let turn = 0; turn < 2; turn += 1) await useEverything(store);
    await endEverything(store);
    expect(await store.findStanding('RefreshToken', 'rt')).toBeUndefined();
  } finally {
    redis.disconnect();
  }
});
