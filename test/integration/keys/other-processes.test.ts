import { describe, expect, it } from '@jest/globals';

import type { Database } from '../../../src/platform/database.ts';
import { createSealer, sealingKeyFrom } from '../../../src/platform/seal.ts';
import { BY, kidsOf, LONGEST, PUBLISH, SLACK, useKeyServices } from '../../support/key-services.ts';

const env = useKeyServices();

/** Polling finds all of it at its next turn; the rest is for a machine that is slow to answer one. */
async function settles(holds: () => boolean, withinMs = 5_000): Promise<void> {
  const startedAt = performance.now();
  while (!holds()) {
    if (performance.now() - startedAt > withinMs) throw new Error(`not within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe('another process', () => {
  const swallowed = (): Partial<Database> => ({ listen: async () => ({ stop: async () => {} }) });

  it.each<[string, () => Partial<Database>]>([
    ['by notification', () => ({})],
    ['by polling alone', swallowed],
  ])('learns of a rotation within a second %s', async (_, overrides) => {
    const one = await env.started();
    const other = await env.started({ db: { ...env.database.db, ...overrides() }, pollIntervalMs: 1_000 });
    let told = 0;
    other.onChange(() => {
      told += 1;
    });
    const [made] = await one.rotate({ alg: 'RS256' }, BY);
    await settles(() => kidsOf(other.keyset().next).includes(made!.kid));
    expect(told).toBe(1);
    expect(other.keyset()).toEqual(one.keyset());
  });

  it('swaps by time without being told', async () => {
    const one = await env.started();
    const other = await env.started();
    const [made] = await one.rotate({ alg: 'RS256' }, BY);
    await settles(() => kidsOf(other.keyset().next).length === 1);
    const seen: string[] = [];
    const stopListening = other.onChange(() => seen.push(kidsOf(other.keyset().signing)[0]!));
    env.clock.advanceSeconds(PUBLISH);
    await settles(() => seen.length === 1);
    expect(seen).toEqual([made!.kid]);
    stopListening();
    env.clock.advanceSeconds(LONGEST + SLACK);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(seen).toHaveLength(1);
    expect(kidsOf(other.keyset().retired)).toEqual([]);
  });

  it('goes on with the keys it knows while the database is away, and catches up after', async () => {
    let isAway = false;
    const one = await env.started();
    const other = await env.started({
      db: {
        ...env.database.db,
        ...swallowed(),
        query: (text, values) =>
          isAway ? Promise.reject(new Error('connect ECONNREFUSED')) : env.database.db.query(text, values),
      },
    });
    const before = other.keyset();
    isAway = true;
    const [made] = await one.rotate({ alg: 'RS256', immediately: true }, BY);
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect(other.keyset()).toEqual(before);
    isAway = false;
    await settles(() => kidsOf(other.keyset().signing)[0] === made!.kid);
  });

  it('with another secret key keeps nobody from hearing that a key was withdrawn', async () => {
    const faults: string[] = [];
    const one = await env.started({ onError: ({ message }) => faults.push(message) });
    const old = one.keyset().signing.find(({ alg }) => alg === 'ES256')!.kid!;
    const stranger = env.build({
      sealer: createSealer([sealingKeyFrom('another secret key, just as long')]),
    });
    const [unreadable] = await stranger.rotate({ alg: 'RS256' }, BY);
    await one.rotate({ alg: 'ES256', immediately: true }, BY);
    await one.retire(old, BY, { withdrawNow: true });
    await settles(() => !kidsOf(one.keyset().jwks.keys).includes(old));
    expect(kidsOf(one.keyset().jwks.keys)).not.toContain(unreadable!.kid);
    expect(faults).toContainEqual(expect.stringContaining(`Signing key ${unreadable!.kid} cannot be opened`));
  });
});
