import { createRedis, type Redis } from '../../src/platform/redis.ts';
import { randomToken } from '../../src/platform/ids.ts';

/** Where the tests' Redis answers; the runner sets it (see run.ts) or the developer. */
export function testRedisUrl(): string {
  const url = process.env['GATEHOUSE_TEST_REDIS_URL'];
  if (!url) throw new Error('GATEHOUSE_TEST_REDIS_URL is not set: run the tests through `npm test`');
  return url;
}

/** A connection and a key prefix that no other test file uses. */
export async function createTestRedis(): Promise<{
  redis: Redis;
  keyPrefix: string;
  close: () => Promise<void>;
}> {
  const redis = createRedis({ url: testRedisUrl() });
  await redis.connect();
  const keyPrefix = `gh-test-${randomToken(6)}`;
  return {
    redis,
    keyPrefix,
    close: async () => {
      const keys = await redis.keys(`${keyPrefix}*`);
      if (keys.length > 0) await redis.del(...keys);
      await redis.quit();
    },
  };
}
