import { describe, expect, it } from '@jest/globals';

import { pauseBeforeRestartMs } from '../../../src/workers/primary.ts';
import { shareOfHashing } from '../../../src/workers/share.ts';

describe('a worker that died', () => {
  it.each([
    [0, 0],
    [1, 250],
    [2, 500],
    [5, 4_000],
    [8, 30_000],
    [60, 30_000],
  ])('is replaced, where it died %d times soon after its start, after %d ms', (failures, pauseMs) => {
    expect(pauseBeforeRestartMs(failures)).toBe(pauseMs);
  });
});

describe('the hashing of passwords', () => {
  it.each([
    [1, { workers: 4, queueLength: 64 }],
    [2, { workers: 2, queueLength: 32 }],
    [3, { workers: 1, queueLength: 22 }],
    [8, { workers: 1, queueLength: 8 }],
  ])('is shared by %d processes', (processes, share) => {
    expect(shareOfHashing({ workers: 4, queueLength: 64 }, processes)).toEqual(share);
  });
});
