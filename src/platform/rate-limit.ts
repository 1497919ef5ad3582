import { RateLimiterPostgres, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';

import type { Database, Queryable } from './database.ts';
import { AppError } from './errors.ts';
import type { Redis } from './redis.ts';

/** What one attempt is told. */
export type Attempt =
  /** `giveBack` uncounts it: it turned out not to be a failure. */
  { kind: 'allowed'; giveBack: () => Promise<void> } | { kind: 'throttled'; retryAfterSeconds: number };

export interface RateLimiter {
  /**
   * Counts an attempt before its outcome is known, so that of many at once no more pass than one after another would.
   *
   * @throws AppError 503 `throttle_unavailable` where the counters cannot be reached
   */
  attempt: (key: string) => Promise<Attempt>;
  /** Forgets the key's failures. @throws as `attempt` */
  reset: (key: string) => Promise<void>;
}

export interface GrowingDelay {
  /** Attempts that pass before each next one has to wait. */
  freeAttempts: number;
  /** The first wait; each further one is twice as long, up to `maxDelaySeconds`. Whole seconds. */
  baseDelaySeconds: number;
  maxDelaySeconds: number;
  /** A series of attempts is forgotten this long after its first one. */
  windowSeconds: number;
}

/** How long the attempt after the `level`th delayed one has to wait, counted from nought. */
export function delaySeconds(
  level: number,
  { baseDelaySeconds, maxDelaySeconds }: Pick<GrowingDelay, 'baseDelaySeconds' | 'maxDelaySeconds'>,
): number {
  return Math.min(baseDelaySeconds * 2 ** Math.min(Math.max(level, 0), 40), maxDelaySeconds);
}

/**
 * Counts attempts by key, in Redis where there is one, else in PostgreSQL (the table `rate_limits`): some are free, then
 * each has to wait for a growing delay. Attempts refused meanwhile do not lengthen it.
 *
 * Three counters make a key: `free` (how many of the free ones are used), `level` (how many delays there were) and
 * `gate` (held for as long as the delay lasts; whoever takes it, one of however many at once, may pass).
 *
 * @param name keeps limiters apart that share a store
 */
export function createRateLimiter({
  redis,
  db,
  keyPrefix = 'gatehouse',
  name,
  ...growth
}: {
  redis?: Redis | undefined;
  db: Database;
  keyPrefix?: string;
  name: string;
} & GrowingDelay): RateLimiter {
  const { freeAttempts, windowSeconds } = growth;
  const counter = (part: string, points: number): RateLimiterRedis | RateLimiterPostgres => {
    const options = { keyPrefix: `${keyPrefix}:throttle:${name}:${part}`, points, duration: windowSeconds };
    return redis
      ? new RateLimiterRedis({ ...options, storeClient: redis })
      : new RateLimiterPostgres({
          ...options,
          storeClient: asPool(db),
          storeType: 'pool',
          tableName: 'rate_limits',
          tableCreated: true,
          clearExpiredByTimeout: false,
        });
  };
  const free = counter('free', freeAttempts);
  const gate = counter('gate', 1);
  const level = counter('level', Number.MAX_SAFE_INTEGER);

  /** Whoever gets it starts the next delay. */
  const takeGate = async (key: string): Promise<Attempt> => {
    const delays = (await level.get(key))?.consumedPoints ?? 0;
    const taken = await consume(gate, key, { customDuration: delaySeconds(delays, growth) });
    if (!taken.isAllowed) return { kind: 'throttled', retryAfterSeconds: taken.retryAfterSeconds };
    await level.penalty(key);
    return {
      kind: 'allowed',
      giveBack: () =>
        orUnavailable(async () => {
          await level.reward(key);
          await gate.delete(key);
        }),
    };
  };

  return {
    attempt: (key) =>
      orUnavailable(async () => {
        const taken = await consume(free, key);
        if (!taken.isAllowed) {
          // It did not use a free one, so what successes give back later adds up.
          await free.reward(key);
          return takeGate(key);
        }
        if (taken.consumed < freeAttempts) {
          return {
            kind: 'allowed',
            giveBack: () =>
              orUnavailable(async () => {
                await free.reward(key);
              }),
          };
        }
        // The last free one: the first delay begins with it.
        const delay = await takeGate(key);
        return {
          kind: 'allowed',
          giveBack: () =>
            orUnavailable(async () => {
              await free.reward(key);
              if (delay.kind === 'allowed') await delay.giveBack();
            }),
        };
      }),
    reset: (key) =>
      orUnavailable(async () => {
        await Promise.all([free.delete(key), gate.delete(key), level.delete(key)]);
      }),
  };
}

/** Removes counters that have expired, for PostgreSQL does not by itself. @returns how many */
export async function pruneRateLimits(db: Queryable, { batchSize = 1000 } = {}): Promise<number> {
  const { rowCount } = await db.query(
    `delete from rate_limits where key in (
       select key from rate_limits where expire < extract(epoch from now()) * 1000 limit $1
     )`,
    [batchSize],
  );
  return rowCount;
}

async function consume(
  limiter: RateLimiterRedis | RateLimiterPostgres,
  key: string,
  options: { customDuration?: number } = {},
): Promise<{ isAllowed: true; consumed: number } | { isAllowed: false; retryAfterSeconds: number }> {
  try {
    const { consumedPoints } = await limiter.consume(key, 1, options);
    return { isAllowed: true, consumed: consumedPoints };
  } catch (error) {
    // The library rejects with a result where the limit is reached, and with an error where the store fails.
    if (!(error instanceof RateLimiterRes)) throw error;
    return { isAllowed: false, retryAfterSeconds: Math.max(1, Math.ceil(error.msBeforeNext / 1000)) };
  }
}

/** Nobody guesses uncounted: without the counters there is no attempt. */
async function orUnavailable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new AppError('throttle_unavailable', 503, 'Signing in is not possible at this moment. Try again.', {
      cause: error,
      retryAfterSeconds: 2,
    });
  }
}

/** The library asks for a pool with pg's own signature. */
function asPool(db: Database): {
  query: (statement: { text: string; values?: unknown[] }) => Promise<{ rows: object[]; rowCount: number }>;
} {
  return { query: ({ text, values }) => db.query(text, values ?? []) };
}
