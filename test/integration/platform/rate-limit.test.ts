import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  createRateLimiter,
  delaySeconds,
  pruneRateLimits,
  type Attempt,
  type GrowingDelay,
  type RateLimiter,
} from '../../../src/platform/rate-limit.ts';
import { randomToken } from '../../../src/platform/ids.ts';
import { createRedis } from '../../../src/platform/redis.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createTestRedis } from '../../support/redis.ts';

// Delays long enough that none passes while a busy machine is still about the attempts that it has to refuse.
const GROWTH: GrowingDelay = {
  freeAttempts: 3,
  baseDelaySeconds: 3,
  maxDelaySeconds: 12,
  windowSeconds: 600,
};
const FIRST_DELAY_MS = 3_050;

let database: TestDatabase;
let redis: Awaited<ReturnType<typeof createTestRedis>>;
beforeAll(async () => {
  database = await createTestDatabase();
  redis = await createTestRedis();
});
afterAll(async () => {
  await redis.close();
  await database.drop();
});

const kinds = (attempts: Attempt[]): string[] => attempts.map(({ kind }) => kind);

/** How long it has to wait; part of the delay, up to a second, may have passed since it began. @throws when it passed */
function waitOf(attempt: Attempt): number {
  if (attempt.kind !== 'throttled') throw new Error('it should have been throttled');
  return attempt.retryAfterSeconds;
}

async function failTimes(limiter: RateLimiter, key: string, times: number): Promise<void> {
  for (let i = 0; i < times; i += 1) await limiter.attempt(key);
}

describe('the growing delay', () => {
  it.each([
    [0, 1],
    [1, 2],
    [2, 4],
    [9, 512],
    [10, 900],
    [10_000, 900],
    [-1, 1],
  ])('number %d lasts %d s', (level, seconds) => {
    expect(delaySeconds(level, { baseDelaySeconds: 1, maxDelaySeconds: 900 })).toBe(seconds);
  });
});

describe.each([
  ['Redis', () => ({ redis: redis.redis, db: database.db, keyPrefix: redis.keyPrefix })],
  ['PostgreSQL', () => ({ db: database.db, keyPrefix: redis.keyPrefix })],
])('a rate limiter over %s', (_store, options) => {
  const open = (overrides: Partial<GrowingDelay> = {}): RateLimiter =>
    createRateLimiter({ ...options(), name: randomToken(6), ...GROWTH, ...overrides });

  it('lets the free attempts pass, then one after each delay, which doubles', async () => {
    const limiter = open();
    const key = 'a';
    expect(
      kinds([await limiter.attempt(key), await limiter.attempt(key), await limiter.attempt(key)]),
    ).toEqual(['allowed', 'allowed', 'allowed']);
    expect([3, 2]).toContain(waitOf(await limiter.attempt(key)));
    await sleep(FIRST_DELAY_MS);
    expect((await limiter.attempt(key)).kind).toBe('allowed');
    expect([6, 5]).toContain(waitOf(await limiter.attempt(key)));
    await sleep(FIRST_DELAY_MS);
    expect([3, 2]).toContain(waitOf(await limiter.attempt(key)));
    await sleep(FIRST_DELAY_MS);
    expect((await limiter.attempt(key)).kind).toBe('allowed');
    expect([12, 11]).toContain(waitOf(await limiter.attempt(key)));
  });

  it('does not lengthen the delay for attempts that it refused', async () => {
    const limiter = open({ baseDelaySeconds: 10, maxDelaySeconds: 40 });
    await failTimes(limiter, 'a', 3);
    await failTimes(limiter, 'a', 40);
    // How much of it has passed is the machine's affair; a longer one would be 20 s.
    expect(waitOf(await limiter.attempt('a'))).toBeLessThanOrEqual(10);
  });

  it('lets no more pass of many at once than one after another', async () => {
    const limiter = open();
    const attempts = await Promise.all(Array.from({ length: 200 }, () => limiter.attempt('a')));
    expect(attempts.filter(({ kind }) => kind === 'allowed')).toHaveLength(3);
    await sleep(FIRST_DELAY_MS);
    const later = await Promise.all(Array.from({ length: 200 }, () => limiter.attempt('a')));
    expect(later.filter(({ kind }) => kind === 'allowed')).toHaveLength(1);
  });

  it('counts each key apart, and each limiter', async () => {
    const limiter = open();
    await failTimes(limiter, 'a', 4);
    expect((await limiter.attempt('b')).kind).toBe('allowed');
    expect((await open().attempt('a')).kind).toBe('allowed');
  });

  it('never delays successes, however many at once', async () => {
    const limiter = open({ freeAttempts: 20 });
    for (let round = 0; round < 3; round += 1) {
      const attempts = await Promise.all(Array.from({ length: 20 }, () => limiter.attempt('a')));
      expect(new Set(kinds(attempts))).toEqual(new Set(['allowed']));
      await Promise.all(
        attempts.map(async (attempt) => {
          if (attempt.kind === 'allowed') await attempt.giveBack();
        }),
      );
    }
  });

  it('remembers only failures after a rush in which some were refused', async () => {
    const limiter = open();
    const attempts = await Promise.all(Array.from({ length: 50 }, () => limiter.attempt('a')));
    for (const attempt of attempts) if (attempt.kind === 'allowed') await attempt.giveBack();
    expect(
      kinds([await limiter.attempt('a'), await limiter.attempt('a'), await limiter.attempt('a')]),
    ).toEqual(['allowed', 'allowed', 'allowed']);
    expect((await limiter.attempt('a')).kind).toBe('throttled');
  });

  it('takes back a delay with the success that followed it', async () => {
    const limiter = open();
    await failTimes(limiter, 'a', 3);
    await sleep(FIRST_DELAY_MS);
    const right = await limiter.attempt('a');
    if (right.kind !== 'allowed') throw new Error('it should have passed');
    await right.giveBack();
    expect((await limiter.attempt('a')).kind).toBe('allowed');
    expect([6, 5]).toContain(waitOf(await limiter.attempt('a')));
  });

  it('forgets everything when it is reset', async () => {
    const limiter = open();
    await failTimes(limiter, 'a', 5);
    await limiter.reset('a');
    expect((await limiter.attempt('a')).kind).toBe('allowed');
  });

  it('forgets a series after its window', async () => {
    const limiter = open({ windowSeconds: 1 });
    await failTimes(limiter, 'a', 4);
    await sleep(1_100);
    expect(kinds([await limiter.attempt('a'), await limiter.attempt('a')])).toEqual(['allowed', 'allowed']);
  });
});

describe('counters that cannot be reached', () => {
  it('allow nothing: 503, Redis', async () => {
    const gone = createRedis({ url: 'redis://127.0.0.1:1' });
    try {
      const limiter = createRateLimiter({ redis: gone, db: database.db, name: 'x', ...GROWTH });
      await expect(limiter.attempt('a')).rejects.toMatchObject({ code: 'throttle_unavailable', status: 503 });
      await expect(limiter.reset('a')).rejects.toMatchObject({ code: 'throttle_unavailable' });
    } finally {
      gone.disconnect();
    }
  });

  it('allow nothing: 503, PostgreSQL', async () => {
    const other = await createTestDatabase();
    const limiter = createRateLimiter({ db: other.db, name: 'x', ...GROWTH });
    expect((await limiter.attempt('a')).kind).toBe('allowed');
    await other.drop();
    await expect(limiter.attempt('a')).rejects.toMatchObject({ code: 'throttle_unavailable', status: 503 });
  });
});

describe('expired counters in PostgreSQL', () => {
  it('are removed, live ones are not', async () => {
    const name = randomToken(6);
    const limiter = createRateLimiter({ db: database.db, name, ...GROWTH });
    await limiter.attempt('live');
    await database.db.query('insert into rate_limits (key, points, expire) values ($1, 1, $2)', [
      `${name}-old`,
      Date.now() - 1_000,
    ]);
    expect(await pruneRateLimits(database.db)).toBeGreaterThanOrEqual(1);
    const { rows } = await database.db.query<{ key: string }>(
      'select key from rate_limits where key like $1 order by key',
      [`%${name}%`],
    );
    expect(rows.map(({ key }) => key)).toEqual([expect.stringContaining('live')]);
  });
});
