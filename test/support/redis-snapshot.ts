import type { Redis } from '../../src/platform/redis.ts';

/** What a Redis held at one moment, as a replica that lagged behind, or a backup, would bring it back. */
export interface RedisSnapshot {
  /** Forgets everything that came after. */
  restore: () => Promise<void>;
}

/** Of the whole database: only for a Redis that belongs to the test alone. */
export async function takeSnapshot(redis: Redis): Promise<RedisSnapshot> {
  const keys = await redis.keys('*');
  const entries = await Promise.all(
    keys.map(async (key) => ({
      key,
      value: await redis.dumpBuffer(key),
      ttlMs: Math.max(0, await redis.pttl(key)),
    })),
  );
  return {
    restore: async () => {
      await redis.flushall();
      for (const { key, value, ttlMs } of entries) {
        if (value) await redis.restore(key, ttlMs, value);
      }
    },
  };
}
