import { describe, expect, it } from '@jest/globals';

import { coalesce } from '../../../src/platform/coalesce.ts';

describe('coalesced work', () => {
  it('runs once more, and only once, for all who asked during a run', async () => {
    const runs: PromiseWithResolvers<void>[] = [];
    const call = coalesce(() => {
      const run = Promise.withResolvers<void>();
      runs.push(run);
      return run.promise;
    });
    const first = call();
    const followers = [call(), call(), call()];
    expect(runs).toHaveLength(1);
    runs[0]!.resolve();
    await first;
    await new Promise(setImmediate);
    expect(runs).toHaveLength(2);
    runs[1]!.resolve();
    await Promise.all(followers);
    expect(runs).toHaveLength(2);
  });

  it('never has two runs under way, nor answers a call by a run that began before it', async () => {
    let running = 0;
    let finished = 0;
    let started = 0;
    const call = coalesce(async () => {
      running += 1;
      started += 1;
      expect(running).toBe(1);
      await new Promise(setImmediate);
      running -= 1;
      finished = started;
    });
    const ask = async (): Promise<void> => {
      const startedBefore = started;
      await call();
      expect(finished).toBeGreaterThan(startedBefore);
    };
    const asked: Promise<void>[] = [];
    for (let round = 0; round < 50; round += 1) {
      asked.push(ask());
      await (round % 3 === 0 ? new Promise(setImmediate) : Promise.resolve());
    }
    await Promise.all(asked);
    expect(started).toBeLessThan(50);
  });

  it('goes on after a failure', async () => {
    let runs = 0;
    const call = coalesce(async () => {
      runs += 1;
      if (runs === 1) throw new Error('no');
    });
    const failed = call();
    const follower = call();
    await expect(failed).rejects.toThrow('no');
    await follower;
    expect(runs).toBe(2);
  });
});
