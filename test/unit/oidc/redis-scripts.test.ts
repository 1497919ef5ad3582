import { expect, it } from '@jest/globals';

import { createScriptRunner } from '../../../src/oidc/store/redis-scripts.ts';
import type { Redis } from '../../../src/platform/redis.ts';

/** Tells of each command how many keys it had, and answers each key's operation with the key. */
function createRecording(refuse: (keys: readonly string[]) => Error | undefined = () => undefined): {
  redis: Redis;
  sizes: number[];
} {
  const sizes: number[] = [];
  const evalsha = async (_sha: string, count: number, ...rest: string[]): Promise<string[]> => {
    const keys = rest.slice(0, count);
    sizes.push(count);
    const error = refuse(keys);
    if (error) throw error;
    return keys;
  };
  return { redis: { evalsha, eval: evalsha } as unknown as Redis, sizes };
}

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `key-${index}`);

it('sends what one turn asks for together, and gives each its own answer', async () => {
  const { redis, sizes } = createRecording();
  const run = createScriptRunner(redis);
  expect(await Promise.all(names(5).map((key) => run('END', key, [1])))).toEqual(names(5));
  expect(await run('END', 'later', [1])).toBe('later');
  expect(sizes).toEqual([5, 1]);
});

it('keeps nobody waiting for a very long one', async () => {
  const { redis, sizes } = createRecording();
  const run = createScriptRunner(redis);
  expect(await Promise.all(names(150).map((key) => run('END', key, [1])))).toEqual(names(150));
  expect(sizes).toEqual([64, 64, 22]);
});

it('sends one by one where several servers are behind the address', async () => {
  const crossSlot = new Error("CROSSSLOT Keys in request don't hash to the same slot");
  const { redis, sizes } = createRecording((keys) => (keys.length > 1 ? crossSlot : undefined));
  const run = createScriptRunner(redis);
  for (let turn = 0; turn < 2; turn += 1)
    expect(await Promise.all(names(3).map((key) => run('END', key, [1])))).toEqual(names(3));
  expect(sizes).toEqual([3, 1, 1, 1, 1, 1, 1]);
});

it('tells all that went along when one fails, and only them', async () => {
  const { redis } = createRecording((keys) => (keys.includes('bad') ? new Error('OOM') : undefined));
  const run = createScriptRunner(redis);
  const outcomes = await Promise.allSettled(['good', 'bad'].map((key) => run('END', key, [1])));
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(await run('END', 'good', [1])).toBe('good');
});
