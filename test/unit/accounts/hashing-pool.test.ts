import { spawn } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, describe, expect, it } from '@jest/globals';

import type { Hasher, HashParameters } from '../../../src/accounts/hashing/hasher.ts';
import { createInlineHasher } from '../../../src/accounts/hashing/inline.ts';
import { dummyHash, needsRehash, parametersKey } from '../../../src/accounts/hashing/parameters.ts';
import { createHashingPool } from '../../../src/accounts/hashing/pool.ts';

const CHEAP: HashParameters = { memoryKib: 64, iterations: 1, parallelism: 1 };
/** Some 100 ms and more. */
const SLOW: HashParameters = { memoryKib: 19_456, iterations: 10, parallelism: 1 };

let opened: Hasher[] = [];
afterEach(async () => {
  await Promise.all(opened.map((hasher) => hasher.close()));
  opened = [];
});

function openPool(
  options: Partial<Parameters<typeof createHashingPool>[0]> = {},
): ReturnType<typeof createHashingPool> {
  const pool = createHashingPool({ workers: 1, queueLength: 8, ...options });
  opened.push(pool);
  return pool;
}

function takeSlot(hasher: Hasher): Extract<ReturnType<Hasher['reserve']>, { kind: 'ok' }>['slot'] {
  const place = hasher.reserve();
  if (place.kind !== 'ok') throw new Error('the pool is busy');
  return place.slot;
}

async function hashWith(hasher: Hasher, password: string, parameters = CHEAP): Promise<string> {
  const result = await hasher.hash(password, parameters);
  if (result.kind !== 'ok') throw new Error('the pool is busy');
  return result.hash;
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** Within half a minute: at the lowest priority a worker may wait long for its turn, also to end. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('it never came true');
    await sleep(20);
  }
}

describe.each([
  ['in child processes', () => openPool()],
  ['in this process', () => createInlineHasher()],
])('hashing %s', (_case, open) => {
  it('makes PHC strings of argon2id that only their password fits', async () => {
    const hasher = open();
    const hash = await hashWith(hasher, 'päss wörd 🦊');
    expect(hash).toMatch(/^\$argon2id\$v=19\$m=64,t=1,p=1\$/);
    const slot = takeSlot(hasher);
    const other = await slot.hash('another', CHEAP);
    expect(await slot.verifyEach('päss wörd 🦊', [other, hash, dummyHash(parametersKey(CHEAP))])).toEqual([
      false,
      true,
      false,
    ]);
    slot.release();
    expect(hasher.use()).toMatchObject({ running: 0, computed: 5 });
  });

  it('tells of a hash that cannot be computed, and goes on', async () => {
    const hasher = open();
    const slot = takeSlot(hasher);
    await expect(slot.verifyEach('x', ['not a hash'])).rejects.toThrow();
    expect(await slot.verifyEach('x', [await slot.hash('x', CHEAP)])).toEqual([true]);
    slot.release();
  });
});

describe('the hashing pool', () => {
  it('refuses at once what is beyond its places, and takes more when one is given back', async () => {
    const pool = openPool({ workers: 1, queueLength: 2 });
    const slots = [takeSlot(pool), takeSlot(pool), takeSlot(pool)];
    expect(pool.reserve()).toEqual({ kind: 'busy', retryAfterSeconds: expect.any(Number) });
    expect(await pool.hash('x', CHEAP)).toMatchObject({ kind: 'busy' });
    expect(pool.use()).toMatchObject({ reserved: 3, capacity: 3, refused: 2 });
    slots[0]!.release();
    // A place given back twice is one place.
    slots[0]!.release();
    expect(pool.reserve().kind).toBe('ok');
    expect(pool.reserve().kind).toBe('busy');
  });

  it('answers "busy" while all workers compute, without waiting for them', async () => {
    const pool = openPool({ workers: 1, queueLength: 0 });
    const running = pool.hash('x', SLOW);
    expect(await pool.hash('y', CHEAP)).toMatchObject({ kind: 'busy' });
    expect(pool.use()).toMatchObject({ reserved: 1 });
    expect((await running).kind).toBe('ok');
  });

  it('computes at the lowest priority', async () => {
    const pool = openPool();
    await hashWith(pool, 'x');
    const pids = pool.pids();
    expect(pids).toHaveLength(1);
    expect(os.getPriority(pids[0])).toBe(19);
    expect(os.getPriority()).toBe(os.getPriority(0));
    expect(os.getPriority()).toBeLessThan(19);
  });

  it('starts no more processes than it was given', async () => {
    const pool = openPool({ workers: 2, queueLength: 20 });
    await Promise.all(Array.from({ length: 12 }, () => hashWith(pool, 'x')));
    expect(pool.pids()).toHaveLength(2);
    expect(pool.use()).toMatchObject({ computed: 12, running: 0, queued: 0, reserved: 0 });
  });

  it('replaces a worker that dies, and its work is done all the same', async () => {
    const lost: string[] = [];
    const pool = openPool({ onWorkerLost: (reason) => lost.push(reason) });
    await hashWith(pool, 'warm');
    const [pid] = pool.pids();
    const slow = hashWith(pool, 'x', SLOW);
    const waiting = hashWith(pool, 'y');
    process.kill(pid!, 'SIGKILL');
    expect(await slow).toMatch(/^\$argon2id\$/);
    expect(await waiting).toMatch(/^\$argon2id\$/);
    expect(lost).toEqual(['SIGKILL']);
    expect(pool.pids()).not.toContain(pid);
  });

  it('replaces an idle worker that died', async () => {
    const lost: string[] = [];
    const pool = openPool({ onWorkerLost: (reason) => lost.push(reason) });
    await hashWith(pool, 'warm');
    process.kill(pool.pids()[0]!, 'SIGKILL');
    await until(() => lost.length > 0);
    expect(await hashWith(pool, 'x')).toMatch(/^\$argon2id\$/);
  }, 60_000);

  it('gives up a piece of work after its second worker died', async () => {
    const pool = openPool({ workTimeoutMs: 1 });
    const slot = takeSlot(pool);
    await expect(slot.hash('x', SLOW)).rejects.toThrow('SIGKILL');
    slot.release();
    expect(pool.use().reserved).toBe(0);
  });

  it('keeps its workers through the signals that a terminal and a supervisor send to the whole group', async () => {
    const pool = openPool();
    await hashWith(pool, 'warm');
    const [pid] = pool.pids();
    process.kill(pid!, 'SIGINT');
    process.kill(pid!, 'SIGTERM');
    await hashWith(pool, 'x', SLOW);
    expect(pool.pids()).toEqual([pid]);
  });

  it('ends its processes when it is closed, and refuses further work', async () => {
    const pool = openPool({ workers: 2 });
    await Promise.all([hashWith(pool, 'x'), hashWith(pool, 'y')]);
    const pids = pool.pids();
    await pool.close();
    expect(pids.map(isAlive)).toEqual([false, false]);
    await expect(pool.hash('x', CHEAP)).rejects.toThrow('closed');
  });

  it('leaves no process behind when the server is killed', async () => {
    const poolFile = path.join(import.meta.dirname, '../../../src/accounts/hashing/pool.ts');
    const script = `
      const { createHashingPool } = await import(${JSON.stringify(poolFile)});
      const pool = createHashingPool({ workers: 1, queueLength: 1 });
      await pool.hash('x', { memoryKib: 64, iterations: 1, parallelism: 1 });
      console.log(pool.pids()[0]);
      setInterval(() => {}, 1000);`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const pid = Number(await new Promise((resolve) => parent.stdout.once('data', resolve)));
    expect(isAlive(pid)).toBe(true);
    parent.kill('SIGKILL');
    await until(() => !isAlive(pid));
  }, 60_000);

  it('keeps no process alive that has nothing else to do', async () => {
    const poolFile = path.join(import.meta.dirname, '../../../src/accounts/hashing/pool.ts');
    const script = `
      const { createHashingPool } = await import(${JSON.stringify(poolFile)});
      const pool = createHashingPool({ workers: 1, queueLength: 1 });
      await pool.hash('x', { memoryKib: 64, iterations: 1, parallelism: 1 });`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
    expect(await new Promise((resolve) => parent.once('exit', resolve))).toBe(0);
  });
});

describe('hashing parameters', () => {
  it.each([
    ['$argon2id$v=19$m=64,t=1,p=1$c2FsdA$aGFzaA', false],
    ['$argon2id$v=19$m=65,t=1,p=1$c2FsdA$aGFzaA', true],
    ['$argon2id$v=19$m=64,t=2,p=1$c2FsdA$aGFzaA', true],
    ['$argon2id$v=19$m=64,t=1,p=2$c2FsdA$aGFzaA', true],
  ])('of %s ask for a rehash: %j', (hash, expected) => {
    expect(needsRehash(hash, CHEAP)).toBe(expected);
  });
});
