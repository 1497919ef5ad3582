import { describe, expect, it } from '@jest/globals';
import { createLocalJWKSet, importJWK, jwtVerify, SignJWT, type JWK } from 'jose';

import { DEFAULT_SIGNING_ALGS } from '../../../src/keys/signing-key.ts';
import { BY, kidsOf, LONGEST, PUBLISH, SLACK, useKeyServices } from '../../support/key-services.ts';

const env = useKeyServices();

describe('a rotation', () => {
  it('publishes, signs, retires and removes in its time', async () => {
    const keys = await env.started();
    const [old] = kidsOf(keys.keyset().signing);
    const [made] = await keys.rotate({ alg: 'RS256' }, BY);
    const fresh = made!.kid;
    const publicStates = async (): Promise<string[]> =>
      (await keys.list())
        .filter(({ alg }) => alg === 'RS256')
        .map(({ kid, state }) => `${kid === old ? 'old' : 'new'} ${state}`);

    const timeline: [number, string[], string[]][] = [
      [0, ['old', 'new'], ['new next', 'old current']],
      [PUBLISH - 1, ['old', 'new'], ['new next', 'old current']],
      [1, ['new', 'old'], ['new current', 'old retired']],
      [LONGEST, ['new', 'old'], ['new current', 'old retired']],
      [SLACK - 1, ['new', 'old'], ['new current', 'old retired']],
      [1, ['new'], ['new current', 'old removed']],
    ];
    for (const [seconds, published, states] of timeline) {
      env.clock.advanceSeconds(seconds);
      const rsa = keys.keyset().jwks.keys.filter(({ alg }) => alg === 'RS256');
      expect(kidsOf(rsa).map((kid) => (kid === old ? 'old' : 'new'))).toEqual(published);
      expect(await publicStates()).toEqual(states);
    }
    expect(fresh).not.toBe(old);
  });

  it('of every algorithm comes in one stroke, or not at all', async () => {
    const keys = await env.started();
    await keys.rotate({ alg: 'ES256' }, BY);
    await expect(keys.rotate({}, BY)).rejects.toMatchObject({ code: 'rotation_under_way', status: 409 });
    expect(kidsOf(keys.keyset().next)).toHaveLength(1);
    const rotated = await keys.rotate({ immediately: true }, BY);
    expect(rotated.map(({ alg, state }) => [alg, state])).toEqual(
      DEFAULT_SIGNING_ALGS.map((alg) => [alg, 'current']),
    );
    expect(kidsOf(keys.keyset().signing)).toEqual(rotated.map(({ kid }) => kid));
  });

  it('has one winner when two are asked for at once', async () => {
    const [one, other] = [await env.started(), await env.started()];
    const outcomes = await Promise.allSettled([
      one.rotate({ alg: 'EdDSA' }, BY),
      other.rotate({ alg: 'EdDSA' }, BY),
    ]);
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'rotation_under_way' },
    });
  });

  it('is recorded with who asked for it', async () => {
    const keys = await env.started();
    const before = kidsOf(keys.keyset().signing)[1]!;
    const [made] = await keys.rotate({ alg: 'ES256' }, BY);
    const { rows } = await env.database.db.query<{ actor_id: string; payload: object }>(
      `select actor_id, payload from audit_events where type = 'key.rotated'`,
    );
    expect(rows).toEqual([
      { actor_id: 'ann', payload: { kid: made!.kid, alg: 'ES256', previous_kid: before } },
    ]);
  });

  it('never leaves a token unverifiable to a client that reads the JWKS once an hour', async () => {
    const keys = await env.started();
    const published = (): JWK[] =>
      keys.keyset().jwks.keys.map(({ d: _d, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, ...key }) => key);
    let cached = published();
    let cachedAt = env.clock.now().getTime();
    const step = 150;
    const issued: { jwt: string; at: number }[] = [];
    for (let elapsed = 0; elapsed < 4 * PUBLISH; elapsed += step) {
      if (elapsed === step || elapsed === 2 * PUBLISH + step) await keys.rotate({ alg: 'ES256' }, BY);
      const now = env.clock.now().getTime();
      if (now - cachedAt >= PUBLISH * 1_000) {
        cached = published();
        cachedAt = now;
      }
      const signing = keys.keyset().signing.find(({ alg }) => alg === 'ES256')!;
      const jwt = await new SignJWT({})
        .setProtectedHeader({ alg: 'ES256', kid: signing.kid! })
        .sign(await importJWK(signing, 'ES256'));
      issued.push({ jwt, at: now });
      const fromServer = createLocalJWKSet({ keys: published() });
      const fromCache = createLocalJWKSet({ keys: cached });
      await jwtVerify(jwt, fromCache);
      for (const token of issued.filter(({ at }) => now - at <= LONGEST * 1_000)) {
        await jwtVerify(token.jwt, fromServer);
      }
      env.clock.advanceSeconds(step);
    }
    expect(new Set(issued.map(({ jwt }) => jwt.split('.')[0])).size).toBe(3);
  });

  it('erases the private part of what was removed long ago', async () => {
    const keys = await env.started();
    const [old] = kidsOf(keys.keyset().signing);
    await keys.rotate({ alg: 'RS256', immediately: true }, BY);
    env.clock.advanceSeconds(LONGEST + SLACK + 3_601);
    await keys.rotate({ alg: 'RS256', immediately: true }, BY);
    const { rows } = await env.database.db.query<{ kid: string }>(
      'select kid from signing_keys where private_jwk_sealed is null',
    );
    expect(rows).toEqual([{ kid: old }]);
    expect((await keys.list()).find(({ kid }) => kid === old)?.state).toBe('removed');
  });
});

describe('retiring', () => {
  it('the only key of an algorithm is refused, whether it leaked or not', async () => {
    const keys = await env.started();
    const kids = kidsOf(keys.keyset().signing);
    for (const kid of kids) {
      await expect(keys.retire(kid, BY)).rejects.toMatchObject({ code: 'only_signing_key', status: 409 });
      await expect(keys.retire(kid, BY, { withdrawNow: true })).rejects.toMatchObject({
        code: 'only_signing_key',
      });
    }
    expect(kidsOf(keys.keyset().signing)).toEqual(kids);
  });

  it('the current key lets its next take over at once, and stays published', async () => {
    const keys = await env.started();
    const [old] = kidsOf(keys.keyset().signing);
    const [made] = await keys.rotate({ alg: 'RS256' }, BY);
    const ended = await keys.retire(old!, BY);
    expect(ended).toMatchObject({ state: 'retired', retiresAt: env.clock.now() });
    expect(kidsOf(keys.keyset().signing)[0]).toBe(made!.kid);
    expect(kidsOf(keys.keyset().retired)).toEqual([old]);
    await expect(keys.retire(old!, BY)).rejects.toMatchObject({ code: 'key_already_retired' });
    env.clock.advanceSeconds(LONGEST + SLACK);
    expect(kidsOf(keys.keyset().retired)).toEqual([]);
  });

  it('a key that leaked takes it out of the JWKS at once', async () => {
    const keys = await env.started();
    const [old] = kidsOf(keys.keyset().signing);
    await keys.rotate({ alg: 'RS256', immediately: true }, BY);
    await keys.retire(old!, BY, { withdrawNow: true });
    expect(kidsOf(keys.keyset().jwks.keys)).not.toContain(old);
    await expect(keys.retire(old!, BY, { withdrawNow: true })).rejects.toMatchObject({
      code: 'key_already_retired',
    });
  });

  it('a next key drops it, and the current one goes on', async () => {
    const keys = await env.started();
    const [current] = kidsOf(keys.keyset().signing);
    const [dropped] = await keys.rotate({ alg: 'RS256' }, BY);
    await keys.retire(dropped!.kid, BY);
    env.clock.advanceSeconds(PUBLISH + LONGEST + SLACK + 1);
    expect(kidsOf(keys.keyset().signing)[0]).toBe(current);
    expect(kidsOf(keys.keyset().jwks.keys)).not.toContain(dropped!.kid);
    const [again] = await keys.rotate({ alg: 'RS256' }, BY);
    expect(again!.state).toBe('next');
  });

  it('an unknown key is refused', async () => {
    await expect((await env.started()).retire('nobody', BY)).rejects.toMatchObject({
      code: 'key_not_found',
      status: 404,
    });
  });
});
