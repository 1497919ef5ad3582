import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { createRedis } from '../../../src/platform/redis.ts';
import { createDeployment, type Deployment } from '../../support/deployment.ts';
import { inheritedEnvironment } from '../../support/gatehouse-process.ts';

/** Nobody listens there, and no other test is given it meanwhile. */
const NOBODYS_PORT = 1;
const ROOT = path.join(import.meta.dirname, '..', '..', '..');

let deployment: Deployment;

beforeAll(async () => {
  deployment = await createDeployment({ store: 'redis' });
}, 60_000);
afterAll(() => deployment?.stop());

interface Launched {
  /** The exit code, or the signal's name. */
  ended: Promise<number | string | null>;
  /** Waits until it has printed that. @throws when it ends before, or takes too long */
  says: (text: string) => Promise<void>;
  output: () => string;
  signal: (name: NodeJS.Signals) => void;
}

/** A server that need not become ready. */
function launch(env: Record<string, string>): Launched {
  const child = spawn(process.execPath, ['bin/gatehouse.mjs', 'start'], {
    cwd: ROOT,
    env: { ...inheritedEnvironment(), ...deployment.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ended = new Promise<number | string | null>((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? signal));
  });
  return {
    ended,
    output: () => output,
    signal: (name) => child.kill(name),
    says: async (text) => {
      const deadline = Date.now() + 30_000;
      while (!output.includes(text)) {
        if (child.exitCode !== null || Date.now() > deadline)
          throw new Error(`never said "${text}":\n${output}`);
        await delay(50);
      }
    },
  };
}

describe('a server whose database or Redis is not there', () => {
  it.each([
    {
      what: 'PostgreSQL',
      settings: { GATEHOUSE_DATABASE_URL: `postgres://postgres@127.0.0.1:${NOBODYS_PORT}/postgres` },
    },
    {
      what: 'Redis',
      settings: { GATEHOUSE_REDIS_URL: `redis://127.0.0.1:${NOBODYS_PORT}` },
    },
  ])(
    'waits for $what with growing pauses, says so, and gives up with 1',
    async ({ what, settings }) => {
      const server = launch({ ...settings, GATEHOUSE_STARTUP_WAIT_SECONDS: '3' });
      expect(await server.ended).toBe(1);
      const output = server.output();
      const times = [...output.matchAll(new RegExp(`"time":"([^"]+)","msg":"Waiting for ${what}`, 'g'))].map(
        ([, time]) => Date.parse(time ?? ''),
      );
      expect(times.length).toBeGreaterThanOrEqual(3);
      const pauses = times.slice(1).map((time, index) => time - times[index]!);
      // 250 and 500 ms; a busy machine only makes them longer, the first perhaps longer than the second.
      expect(pauses[0]).toBeGreaterThanOrEqual(240);
      expect(pauses[1]).toBeGreaterThanOrEqual(490);
      expect(output).toContain(`${what} did not answer within 3 seconds.`);
    },
    60_000,
  );

  it('starts as soon as it is there', async () => {
    await deployment.postgres.stop();
    const server = launch({});
    try {
      await server.says('Waiting for PostgreSQL');
      await deployment.postgres.startAgain();
      await server.says('"msg":"listening"');
      expect((await fetch(`${deployment.issuer}/healthz/ready`)).status).toBe(200);
    } finally {
      server.signal('SIGTERM');
    }
    expect(await server.ended).toBe(0);
  }, 60_000);

  it('stops waiting when it is told to stop', async () => {
    const server = launch({
      GATEHOUSE_DATABASE_URL: `postgres://postgres@127.0.0.1:${NOBODYS_PORT}/postgres`,
    });
    await server.says('Waiting for PostgreSQL');
    server.signal('SIGTERM');
    expect(await server.ended).toBe(0);
  }, 60_000);

  it('refuses a Redis that may drop what it holds', async () => {
    const redis = createRedis({ url: deployment.redis!.url });
    await redis.connect();
    await redis.call('config', 'set', 'maxmemory-policy', 'allkeys-lru');
    try {
      const server = launch({});
      expect(await server.ended).toBe(1);
      expect(server.output()).toContain('Redis has maxmemory-policy allkeys-lru');
    } finally {
      await redis.call('config', 'set', 'maxmemory-policy', 'noeviction');
      redis.disconnect();
    }
  }, 60_000);
});
