import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import type { Command } from 'ioredis';

import { createScriptRunner, type RunScript } from '../../../src/oidc/store/redis-runner.ts';
import type { Redis } from '../../../src/platform/redis.ts';
import { createTestRedis } from '../../support/redis.ts';

let redis: Redis;
let keyPrefix: string;
let close: () => Promise<void>;
beforeAll(async () => {
  ({ redis, keyPrefix, close } = await createTestRedis());
});
afterAll(() => close());

/** How many keys each command of the work named. */
async function commandsOf(work: () => Promise<unknown>): Promise<number[]> {
  const sent = jest.spyOn(redis, 'sendCommand');
  try {
    await work();
    return (sent.mock.calls as [Command][])
      .filter(([command]) => command.name === 'evalsha' || command.name === 'eval')
      .map(([command]) => command.getKeys().length);
  } finally {
    sent.mockRestore();
  }
}

/** Once it has found out that there is one server. */
async function createReady(): Promise<RunScript> {
  const run = createScriptRunner(redis, keyPrefix);
  const ofTwo = (): Promise<unknown> => Promise.all([put(run, 'one'), put(run, 'other')]);
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if ((await commandsOf(ofTwo)).includes(2)) return run;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('it sends each by itself');
}

const put = (run: RunScript, name: string): Promise<unknown> =>
  run('PUT', `${keyPrefix}:${name}`, [name, '', 5_000]);
const spend = (run: RunScript, name: string, spender: string): Promise<unknown> =>
  run('SPEND', `${keyPrefix}:${name}`, [spender, 1, 1_000]);

describe('on one server', () => {
  it('sends what one turn asks for together, and gives each its own answer', async () => {
    const run = await createReady();
    let answers: unknown;
    const commands = await commandsOf(async () => {
      answers = await Promise.all([
        put(run, 'a'),
        run('INDEX_ADD', `${keyPrefix}:index`, ['member', '+inf', 1, 5_000]),
        spend(run, 'a', 'one'),
        spend(run, 'a', 'two'),
        spend(run, 'missing', 'one'),
        run('READ_STANDING', `${keyPrefix}:a`, ['x', 'y']),
      ]);
    });
    expect(answers).toEqual([
      1,
      1,
      ['won'],
      ['lost', 'one', '1', '0'],
      ['missing'],
      [expect.arrayContaining(['body', 'a', 'by', 'one']), [], []],
    ]);
    expect(commands).toEqual([6]);
  });

  it('keeps nobody waiting for a very long one', async () => {
    const run = await createReady();
    const names = Array.from({ length: 150 }, (_, index) => `many-${index}`);
    expect(await commandsOf(() => Promise.all(names.map((name) => put(run, name))))).toEqual([64, 64, 22]);
    const spent = await Promise.all(names.map((name) => spend(run, name, name)));
    expect(spent).toEqual(names.map(() => ['won']));
  });

  it('tells the one that failed, and does the others', async () => {
    const run = await createReady();
    await redis.set(`${keyPrefix}:text`, 'no hash', 'PX', 5_000);
    const outcomes = await Promise.allSettled([put(run, 'before'), put(run, 'text'), put(run, 'after')]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect((outcomes[1] as PromiseRejectedResult).reason.message).toMatch(/^WRONGTYPE/);
    expect(await redis.hget(`${keyPrefix}:after`, 'body')).toBe('after');
  });

  it('fails all that went along when the connection is lost, and goes on when it is back', async () => {
    const run = await createReady();
    const gone = jest.spyOn(redis, 'evalsha').mockRejectedValueOnce(new Error('Connection is closed.'));
    const outcomes = await Promise.allSettled([put(run, 'lost-1'), put(run, 'lost-2')]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    gone.mockRestore();
    expect(await put(run, 'found')).toBe(1);
  });
});

/** Everything that comes with more keys than one is done at another place, or refused. */
describe.each([
  [
    'says so',
    async (): Promise<never> => {
      throw new Error("CROSSSLOT Keys in request don't hash to the same slot");
    },
  ],
  ['says nothing', async (): Promise<number[]> => Array.from({ length: 16 }, () => 1)],
])('behind a proxy that spreads keys and %s', (_name, onManyKeys) => {
  it('sends each by itself', async () => {
    const evalsha = redis.evalsha.bind(redis) as (...args: unknown[]) => Promise<unknown>;
    const proxied = jest
      .spyOn(redis, 'evalsha')
      .mockImplementation(((sha: string, count: number, ...rest: unknown[]) =>
        count > 1 ? onManyKeys() : evalsha(sha, count, ...rest)) as never);
    try {
      const run = createScriptRunner(redis, keyPrefix);
      await put(run, 'first');
      // Time to find out.
      await new Promise((resolve) => setTimeout(resolve, 200));
      const names = ['p', 'q', 'r'];
      expect(await Promise.all(names.map((name) => put(run, name)))).toEqual([1, 1, 1]);
      for (const name of names) expect(await redis.hget(`${keyPrefix}:${name}`, 'body')).toBe(name);
    } finally {
      proxied.mockRestore();
    }
  });
});
