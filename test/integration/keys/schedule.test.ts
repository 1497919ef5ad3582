import { describe, expect, it } from '@jest/globals';

import { unlessUnderWay } from '../../../src/platform/turn.ts';
import { BY, kidsOf, LONGEST, PUBLISH, SLACK, useKeyServices } from '../../support/key-services.ts';

const env = useKeyServices();
const ROTATE_AFTER = 30 * 86_400;
const SCHEDULED = { rotateAfterSeconds: ROTATE_AFTER };

async function created(): Promise<string[]> {
  const { rows } = await env.database.db.query<{ alg: string }>(
    `select payload ->> 'alg' as alg from audit_events where type = 'key.created' and actor_kind = 'system'
      order by at, id`,
  );
  return rows.map(({ alg }) => alg);
}

describe('the schedule', () => {
  it('publishes the next keys in time, has them sign in time, and takes the old ones away', async () => {
    const keys = await env.started(SCHEDULED);
    const first = kidsOf(keys.keyset().signing);

    env.clock.advanceSeconds(ROTATE_AFTER - PUBLISH - 1);
    expect(await keys.rotateDue()).toEqual([]);
    env.clock.advanceSeconds(1);
    const next = await keys.rotateDue();
    expect(next.map(({ alg, state }) => `${alg} ${state}`).toSorted()).toEqual([
      'ES256 next',
      'EdDSA next',
      'RS256 next',
    ]);
    expect(await keys.rotateDue()).toEqual([]);
    expect(kidsOf(keys.keyset().signing)).toEqual(first);

    env.clock.advanceSeconds(PUBLISH);
    expect(new Set(kidsOf(keys.keyset().signing))).toEqual(new Set(next.map(({ kid }) => kid)));
    expect(kidsOf(keys.keyset().retired).toSorted()).toEqual(first.toSorted());
    env.clock.advanceSeconds(LONGEST + SLACK);
    expect(kidsOf(keys.keyset().retired)).toEqual([]);

    // And again, a period later, counted from when the present ones began to sign.
    env.clock.advanceSeconds(ROTATE_AFTER - PUBLISH - LONGEST - SLACK);
    expect(await keys.rotateDue()).toHaveLength(3);
  });

  it('renews the cookie keys as well, and keeps what they signed', async () => {
    const keys = await env.started(SCHEDULED);
    const [signing = ''] = keys.cookieKeys();
    env.clock.advanceSeconds(ROTATE_AFTER);
    await keys.rotateDue();
    env.clock.advanceSeconds(20);
    expect(keys.cookieKeys()[0]).not.toBe(signing);
    expect(keys.cookieKeys()).toContain(signing);
  });

  it('makes each key once, however many processes look at once', async () => {
    const processes = await Promise.all([1, 2, 3].map(() => env.started(SCHEDULED)));
    const before = (await created()).length;
    env.clock.advanceSeconds(ROTATE_AFTER - PUBLISH);
    await Promise.all(processes.map((keys) => keys.rotateDue()));
    expect((await created()).slice(before).toSorted()).toEqual(['ES256', 'EdDSA', 'RS256']);
  });

  it('a process that dies in the middle leaves nothing behind, and the next one makes the keys', async () => {
    const { db } = env.database;
    const other = await env.started(SCHEDULED);
    const dying = await env.started({
      ...SCHEDULED,
      db: {
        ...db,
        transaction: (work) =>
          db.transaction(async (tx) => {
            await work(tx);
            // What the server sees of a kill: the connection is gone before the commit.
            await tx.query('select pg_terminate_backend(pg_backend_pid())');
            throw new Error('still alive');
          }),
      },
    });
    const [before, keysBefore] = [(await created()).length, await other.list()];
    env.clock.advanceSeconds(ROTATE_AFTER - PUBLISH);
    await expect(dying.rotateDue()).rejects.toThrow(/terminat/);
    expect((await created()).length).toBe(before);
    expect(await other.list()).toEqual(keysBefore);
    expect(await other.rotateDue()).toHaveLength(3);
    expect((await created()).length).toBe(before + 3);
  });

  it('is off where no age is set', async () => {
    const keys = await env.started();
    env.clock.advanceSeconds(10 * 365 * 86_400);
    expect(await keys.rotateDue()).toEqual([]);
  });
});

it('work that another process is at is left to it', async () => {
  const { db } = env.database;
  let inner: boolean | undefined;
  const outer = await unlessUnderWay(db, 'a job', async () => {
    inner = await unlessUnderWay(db, 'a job', async () => {
      throw new Error('done twice');
    });
  });
  expect({ outer, inner }).toEqual({ outer: true, inner: false });
  expect(await unlessUnderWay(db, 'a job', async () => {})).toBe(true);
});

describe('a key that is withdrawn', () => {
  it('leaves at once, and a new one signs in its place', async () => {
    const keys = await env.started();
    const old = keys.keyset().signing.find(({ alg }) => alg === 'ES256')?.kid ?? '';
    const key = await keys.withdraw(old, BY);
    expect([key.state, await keys.recordEnded(key, BY)]).toEqual(['removed', []]);
    const signing = keys.keyset().signing.filter(({ alg }) => alg === 'ES256');
    expect(signing).toHaveLength(1);
    expect(kidsOf(keys.keyset().jwks.keys)).not.toContain(old);
  });

  it('is out before anybody counts what ends with it', async () => {
    const keys = await env.started();
    const old = keys.keyset().signing.find(({ alg }) => alg === 'ES256')?.kid ?? '';
    await keys.withdraw(old, BY);
    const types = async () =>
      (
        await env.database.db.query<{ type: string }>(
          `select type from audit_events where payload ->> 'kid' = $1`,
          [old],
        )
      ).rows
        .map(({ type }) => type)
        .toSorted();
    expect(await types()).toEqual(['key.created', 'key.removed']);
    await keys.recordEnded({ kid: old, alg: 'ES256' }, BY);
    expect(await types()).toEqual(['key.created', 'key.removed', 'key.tokens_ended']);
  });

  it('gives way to the one that waits already', async () => {
    const keys = await env.started();
    const old = keys.keyset().signing.find(({ alg }) => alg === 'EdDSA')?.kid ?? '';
    const [next] = await keys.rotate({ alg: 'EdDSA' }, BY);
    await keys.withdraw(old, BY);
    expect(kidsOf(keys.keyset().signing.filter(({ alg }) => alg === 'EdDSA'))).toEqual([next?.kid]);
    expect(keys.keyset().next).toEqual([]);
  });

  it.each(['retired', 'next'])('may be a %s one', async (state) => {
    const keys = await env.started();
    const old = keys.keyset().signing.find(({ alg }) => alg === 'RS256')?.kid ?? '';
    const [made] = await keys.rotate({ alg: 'RS256', immediately: state === 'retired' }, BY);
    const kid = state === 'retired' ? old : (made?.kid ?? '');
    await keys.withdraw(kid, BY);
    expect(kidsOf(keys.keyset().jwks.keys)).not.toContain(kid);
    expect(keys.keyset().signing.filter(({ alg }) => alg === 'RS256')).toHaveLength(1);
  });

  it('is withdrawn once, and has to exist', async () => {
    const keys = await env.started();
    const old = keys.keyset().signing.find(({ alg }) => alg === 'ES256')?.kid ?? '';
    await keys.withdraw(old, BY);
    await expect(keys.withdraw(old, BY)).rejects.toMatchObject({ code: 'key_already_retired' });
    await expect(keys.withdraw('nothing', BY)).rejects.toMatchObject({ code: 'key_not_found' });
  });
});
