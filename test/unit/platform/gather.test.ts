import { describe, expect, it } from '@jest/globals';

import { gather } from '../../../src/platform/gather.ts';

describe('gathered look-ups', () => {
  it('are made together, each key once, and each caller gets its own', async () => {
    const asked: (readonly string[])[] = [];
    const find = gather(async (keys) => {
      asked.push(keys);
      return new Map(keys.filter((key) => key !== 'nobody').map((key) => [key, `the ${key}`]));
    });
    expect(await Promise.all([find('a'), find('b'), find('a'), find('nobody')])).toEqual([
      'the a',
      'the b',
      'the a',
      undefined,
    ]);
    expect(asked).toEqual([['a', 'b', 'nobody']]);
  });

  it('are never answered by what was read before the call', async () => {
    let state = 'before';
    const reads: PromiseWithResolvers<void>[] = [];
    const find = gather(async (keys) => {
      const read = state;
      const reading = Promise.withResolvers<void>();
      reads.push(reading);
      await reading.promise;
      return new Map(keys.map((key) => [key, read]));
    });
    const early = find('a');
    await new Promise((resolve) => setTimeout(resolve, 5));
    state = 'after';
    const late = find('a');
    await new Promise((resolve) => setTimeout(resolve, 5));
    for (const reading of reads) reading.resolve();
    expect([await early, await late, reads.length]).toEqual(['before', 'after', 2]);
  });

  it('fail for all who asked along, and for nobody who asks later', async () => {
    let isAway = true;
    const find = gather(async (keys) => {
      if (isAway) throw new Error('away');
      return new Map(keys.map((key) => [key, key]));
    });
    const results = await Promise.allSettled([find('a'), find('b')]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    isAway = false;
    expect(await find('a')).toBe('a');
  });
});
