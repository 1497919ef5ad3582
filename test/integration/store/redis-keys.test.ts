import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { type OidcStore, TOMBSTONE_SECONDS } from '../../../src/oidc/store/port.ts';
import { createRedisStore } from '../../../src/oidc/store/redis-store.ts';
import { createRedis } from '../../../src/platform/redis.ts';
import type { Redis } from '../../../src/platform/redis.ts';
import { createSealer, sealingKeyFrom } from '../../../src/platform/seal.ts';
import { createTestClock } from '../../support/clock.ts';
import { createTestRedis, testRedisUrl } from '../../support/redis.ts';
import { endEverything, useEverything } from '../../support/store-use.ts';

const sealer = createSealer([sealingKeyFrom('a secret of more than thirty-two characters')]);

describe('the Redis store', () => {
  let redis: Redis;
  let keyPrefix: string;
  let close: () => Promise<void>;
  let store: OidcStore;
  const clock = createTestClock();

  beforeAll(async () => {
    ({ redis, keyPrefix, close } = await createTestRedis());
    store = createRedisStore({ redis, keyPrefix, clock, sealer });
  });
  afterAll(() => close());
  beforeEach(async () => {
    const keys = await redis.keys(`${keyPrefix}*`);
    if (keys.length > 0) await redis.del(...keys);
  });

  const timesToLive = async (): Promise<number[]> =>
    Promise.all((await redis.keys(`${keyPrefix}*`)).map((key) => redis.pttl(key)));

  it('lets Redis itself forget every key, in time', async () => {
    await useEverything(store);
    const whileInUse = await timesToLive();
    expect(whileInUse.length).toBeGreaterThan(8);
    expect(whileInUse.filter((ttl) => ttl <= 0 || ttl > 600_000)).toEqual([]);
    await endEverything(store);
    expect((await timesToLive()).filter((ttl) => ttl <= 0 || ttl > TOMBSTONE_SECONDS * 1000)).toEqual([]);
  });

  it('keeps the index of a grant as long as its longest token, and drops those that expired', async () => {
    await store.upsert('RefreshToken', 'long', { grantId: 'g' }, 300);
    await store.upsert('AccessToken', 'short', { grantId: 'g' }, 60);
    const [index] = await redis.keys(`${keyPrefix}:grant-tokens:*`);
    expect(await redis.pttl(index!)).toBeGreaterThan(290_000);
    expect(await redis.zcard(index!)).toBe(2);
    clock.advanceSeconds(60);
    await store.upsert('AccessToken', 'next', { grantId: 'g' }, 60);
    expect(await redis.zcard(index!)).toBe(2);
    await store.upsert('AccessToken', 'for ever', { grantId: 'g' }, undefined);
    expect(await redis.pttl(index!)).toBe(-1);
  });

  it('teaches a server its scripts that has forgotten them, as after a restart', async () => {
    await redis.script('FLUSH');
    await store.upsert('AuthorizationCode', 'c', {}, 60);
    expect(await store.spend('AuthorizationCode', 'c', { spender: 'a', leaseSeconds: 10 })).toEqual({
      kind: 'won',
    });
  });

  it('throws when Redis does not answer, and leaves no mark behind', async () => {
    const away = createRedis({ url: testRedisUrl() });
    await away.connect();
    const cut = createRedisStore({ redis: away, keyPrefix, clock, sealer });
    await store.upsert('AuthorizationCode', 'c', {}, 60);
    away.disconnect();
    await expect(cut.spend('AuthorizationCode', 'c', { spender: 'a', leaseSeconds: 10 })).rejects.toThrow();
    await expect(cut.ping()).rejects.toThrow();
    expect(await store.find('AuthorizationCode', 'c')).not.toHaveProperty('consumed');
  });

  it('reports how long each operation took, also one that failed', async () => {
    const onOperation = jest.fn();
    const observed = createRedisStore({ redis, keyPrefix, clock, sealer, onOperation });
    await observed.find('AccessToken', 'at');
    await observed.markOnce('m', 'a', 60);
    await store.destroy('Grant', 'g');
    await expect(observed.upsert('AccessToken', 'at', { grantId: 'g' }, 60)).rejects.toThrow();
    expect(onOperation.mock.calls.map(([operation]) => operation)).toEqual([
      { operation: 'find', model: 'AccessToken', durationMs: expect.any(Number) },
      { operation: 'markOnce', durationMs: expect.any(Number) },
      { operation: 'upsert', model: 'AccessToken', durationMs: expect.any(Number) },
    ]);
  });
});
