import { describe, expect, it } from '@jest/globals';

import { createClientCache } from '../../../src/clients/cache.ts';
import type { Client } from '../../../src/clients/client.ts';
import { buildClient } from '../../support/factories/client.ts';

/** A source whose answers the test holds back. */
function heldBack(): {
  load: (id: string) => Promise<Client | undefined>;
  answer: (client: Client | undefined) => void;
  fail: (error: Error) => void;
  loads: () => number;
} {
  const waiting: PromiseWithResolvers<Client | undefined>[] = [];
  let loads = 0;
  return {
    load: () => {
      loads += 1;
      const pending = Promise.withResolvers<Client | undefined>();
      waiting.push(pending);
      return pending.promise;
    },
    answer: (client) => waiting.shift()!.resolve(client),
    fail: (error) => waiting.shift()!.reject(error),
    loads: () => loads,
  };
}

describe('the client cache', () => {
  it('loads once for everybody who asks at once, and not again', async () => {
    const source = heldBack();
    const cache = createClientCache(source);
    const client = buildClient();
    const asked = [cache.find('a'), cache.find('a'), cache.find('a')];
    source.answer(client);
    expect(await Promise.all(asked)).toEqual([client, client, client]);
    expect(await cache.find('a')).toBe(client);
    expect(source.loads()).toBe(1);
  });

  it('never keeps what a load that began before an invalidation brings after it', async () => {
    const source = heldBack();
    const cache = createClientCache(source);
    const [stale, fresh] = [buildClient({ name: 'stale' }), buildClient({ name: 'fresh' })];
    const before = cache.find('a');
    cache.clear();
    source.answer(stale);
    expect(await before).toBe(stale);
    const after = cache.find('a');
    source.answer(fresh);
    expect(await after).toBe(fresh);
    expect(await cache.find('a')).toBe(fresh);
  });

  it('does not answer with a load that began before an invalidation', async () => {
    const source = heldBack();
    const cache = createClientCache(source);
    const before = cache.find('a');
    cache.clear();
    const after = cache.find('a');
    expect(source.loads()).toBe(2);
    source.answer(buildClient({ name: 'stale' }));
    source.answer(undefined);
    expect((await before)?.name).toBe('stale');
    expect(await after).toBeUndefined();
  });

  it('remembers for a while that there is none, and forgets it when cleared', async () => {
    let loads = 0;
    const cache = createClientCache({
      load: async () => {
        loads += 1;
        return undefined;
      },
      missingForMs: 50,
    });
    await cache.find('a');
    await cache.find('a');
    expect(loads).toBe(1);
    cache.clear();
    await cache.find('a');
    expect(loads).toBe(2);
    await new Promise((resolve) => setTimeout(resolve, 60));
    await cache.find('a');
    expect(loads).toBe(3);
  });

  it('holds a bounded number of ids that are no client’s', async () => {
    const asked: string[] = [];
    const cache = createClientCache({
      load: async (id) => {
        asked.push(id);
        return undefined;
      },
      maxMissing: 3,
    });
    for (const id of ['a', 'b', 'c', 'd', 'd', 'c', 'b', 'a']) await cache.find(id);
    expect(asked).toEqual(['a', 'b', 'c', 'd', 'a']);
  });

  it('holds a bounded number of clients', async () => {
    const asked: string[] = [];
    const cache = createClientCache({
      load: async (clientId) => {
        asked.push(clientId);
        return buildClient({ clientId });
      },
      maxClients: 2,
    });
    for (const id of ['a', 'b', 'c', 'c', 'b', 'a']) await cache.find(id);
    expect(asked).toEqual(['a', 'b', 'c', 'a']);
  });

  it('tries again after a failure', async () => {
    const source = heldBack();
    const cache = createClientCache(source);
    const failed = cache.find('a');
    source.fail(new Error('database away'));
    await expect(failed).rejects.toThrow('database away');
    const client = buildClient();
    const next = cache.find('a');
    source.answer(client);
    expect(await next).toBe(client);
  });

  it('serves the last known client while the database is away, and no other fault', async () => {
    const source = heldBack();
    const cache = createClientCache(source);
    const client = buildClient();
    const first = cache.find('a');
    source.answer(client);
    await first;
    cache.clear();
    const meanwhile = cache.find('a');
    source.fail(Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }));
    expect(await meanwhile).toBe(client);
    const broken = cache.find('a');
    source.fail(new Error('a fault of ours'));
    await expect(broken).rejects.toThrow('a fault of ours');
    const gone = cache.find('a');
    source.answer(undefined);
    expect(await gone).toBeUndefined();
    cache.clear();
    const afterwards = cache.find('a');
    source.fail(Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }));
    await expect(afterwards).rejects.toThrow('connect');
  });

  it('serves what it was loading when the cache was emptied, once the database is away', async () => {
    const source = heldBack();
    const cache = createClientCache(source);
    const client = buildClient();
    const overtaken = cache.find('a');
    cache.clear();
    source.answer(client);
    await overtaken;
    const meanwhile = cache.find('a');
    source.fail(Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }));
    expect(await meanwhile).toBe(client);
  });
});
