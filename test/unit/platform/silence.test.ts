import { setTimeout as delay } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { watchSilence, type SilenceWatch } from '../../../src/platform/silence.ts';

const PATIENCE_MS = 80;

let isThere = true;
let probes = 0;
let outages = 0;
let watch: SilenceWatch;

beforeEach(() => {
  isThere = true;
  probes = 0;
  outages = 0;
  watch = watchSilence({
    patienceMs: PATIENCE_MS,
    probe: async () => {
      probes += 1;
      if (!isThere) throw new Error('no answer');
    },
    onSilent: () => {
      outages += 1;
    },
  });
});
afterEach(() => watch.stop());

const never = (): Promise<never> => new Promise(() => {});

describe('watching for silence', () => {
  it('passes on what comes in time, failures too, and asks nobody', async () => {
    expect(await watch.guard(async () => 'answer')).toBe('answer');
    await expect(watch.guard(() => Promise.reject(new Error('its own')))).rejects.toThrow('its own');
    await delay(PATIENCE_MS * 2);
    expect(probes).toBe(0);
  });

  it('lets what is merely slow go on, for the server is there', async () => {
    const slow = watch.guard(() => delay(PATIENCE_MS * 4, 'late'));
    expect(await slow).toBe('late');
    expect(probes).toBeGreaterThan(0);
    expect(outages).toBe(0);
  });

  it('refuses everybody who waits, once for all, and whoever comes then at once', async () => {
    isThere = false;
    const waiting = Promise.allSettled([watch.guard(never), watch.guard(never), watch.guard(never)]);
    for (const result of await waiting)
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'ETIMEDOUT' } });
    expect(outages).toBe(1);

    let wasTried = false;
    const refused = watch.guard(async () => {
      wasTried = true;
    });
    await expect(refused).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    expect(wasTried).toBe(false);
  });

  it('serves again as soon as the server answers', async () => {
    isThere = false;
    await expect(watch.guard(never)).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    isThere = true;
    const deadline = Date.now() + 5_000;
    let answer: string | undefined;
    while (answer === undefined && Date.now() < deadline) {
      answer = await watch.guard(async () => 'answer').catch(() => undefined);
      await delay(20);
    }
    expect(answer).toBe('answer');
    expect(outages).toBe(1);
  });
});
