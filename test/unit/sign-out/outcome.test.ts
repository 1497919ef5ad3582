import { describe, expect, it } from '@jest/globals';

import { judgeAttempt, pauseSeconds } from '../../../src/platform/delivery/outcome.ts';

const now = new Date('2026-03-01T12:00:00Z');
const inSeconds = (seconds: number): Date => new Date(now.getTime() + seconds * 1000);
const judged = (
  attempted: Parameters<typeof judgeAttempt>[0],
  { attempts = 1, givesUpAt = inSeconds(86_400), spread = 0 } = {},
) => judgeAttempt(attempted, { attempts, now, givesUpAt, spread });

describe('what an application answers', () => {
  it.each([
    [200, 'delivered'],
    [204, 'delivered'],
    [400, 'refused'],
    [201, 'later'],
    [301, 'later'],
    [302, 'later'],
    [401, 'later'],
    [403, 'later'],
    [404, 'later'],
    [429, 'later'],
    [500, 'later'],
    [501, 'later'],
    [503, 'later'],
  ])('%i: %s', (status, kind) => {
    expect(judged({ kind: 'answered', status })).toMatchObject({ kind });
  });

  it('or does not: later, with the reason', () => {
    expect(judged({ kind: 'failed', reason: 'unreachable' })).toEqual({
      kind: 'later',
      nextAttemptAt: inSeconds(2),
      reason: 'unreachable',
    });
  });
});

it('a client that is gone is given up at once', () => {
  expect(judged({ kind: 'nobody' })).toMatchObject({ kind: 'given_up' });
});

describe('the pauses', () => {
  it.each([
    [1, 2],
    [2, 4],
    [3, 8],
    [10, 1024],
    [11, 2048],
    [12, 3600],
    [1000, 3600],
  ])('after attempt %i: %i seconds', (attempts, seconds) => {
    expect(pauseSeconds(attempts)).toBe(seconds);
  });

  it('are spread by a fifth at most', () => {
    expect(judged({ kind: 'answered', status: 503 }, { attempts: 5, spread: 1 })).toMatchObject({
      nextAttemptAt: inSeconds(32 * 1.2),
    });
  });

  it('end with the time that there is', () => {
    const attempted = { kind: 'answered', status: 503 } as const;
    expect(judged(attempted, { attempts: 5, givesUpAt: inSeconds(32) })).toMatchObject({ kind: 'later' });
    expect(judged(attempted, { attempts: 5, givesUpAt: inSeconds(31) })).toEqual({
      kind: 'given_up',
      reason: 'status 503',
    });
  });
});
