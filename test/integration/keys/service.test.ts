import { describe, expect, it } from '@jest/globals';
import { calculateJwkThumbprint } from 'jose';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { Provider } from 'oidc-provider';

import { resealKeys } from '../../../src/keys/reseal.ts';
import { DEFAULT_SIGNING_ALGS } from '../../../src/keys/signing-key.ts';
import { createSealer, sealingKeyFrom } from '../../../src/platform/seal.ts';
import { BY, kidsOf, LONGEST, SECRET, sealer, useKeyServices } from '../../support/key-services.ts';

const OLD_SECRET = 'an older secret key, long enough as well';
const env = useKeyServices();

describe('the first start', () => {
  it('makes a key for each algorithm and two for cookies, and no more the next time', async () => {
    const keys = await env.started();
    const { signing, next, retired, nextChangeAt } = keys.keyset();
    expect(signing.map(({ alg }) => alg)).toEqual(['RS256', 'ES256', 'EdDSA']);
    expect([next, retired, nextChangeAt]).toEqual([[], [], undefined]);
    const cookieKeys = keys.cookieKeys();
    expect(new Set(cookieKeys).size).toBe(2);
    for (const key of cookieKeys) expect(key).toMatch(/^[\w-]{43}$/);

    const again = await env.started();
    expect(kidsOf(again.keyset().signing)).toEqual(kidsOf(signing));
    expect(again.cookieKeys()).toEqual(cookieKeys);
    const { rows } = await env.database.db.query<{ type: string; actor_id: string }>(
      'select type, actor_id from audit_events',
    );
    expect(rows).toHaveLength(3);
    expect(new Set(rows.map(({ type }) => type))).toEqual(new Set(['key.created']));
  });

  it('makes one set when many services start at once', async () => {
    const all = Array.from({ length: 6 }, () => env.build());
    await Promise.all(all.map((service) => service.ensureKeys()));
    await Promise.all(all.map((service) => service.start()));
    const views = new Set(all.map((service) => JSON.stringify([service.keyset(), service.cookieKeys()])));
    expect(views.size).toBe(1);
    expect(await all[0]!.list()).toHaveLength(3);
  });

  it('makes one set when several processes start at once', async () => {
    const script = path.join(import.meta.dirname, 'ensure-keys.process.ts');
    const outputs = await Promise.all(
      Array.from({ length: 3 }, () =>
        promisify(execFile)(process.execPath, [script, env.database.connectionString, SECRET]),
      ),
    );
    expect(new Set(outputs.map(({ stdout }) => stdout)).size).toBe(1);
    expect(JSON.parse(outputs[0]!.stdout)).toMatchObject({ kids: { length: 3 }, cookieKeys: { length: 2 } });
    expect(await env.build().list()).toHaveLength(3);
  });

  it('leaves nothing private readable in the database, the list or the log', async () => {
    const keys = await env.started();
    const { rows } = await env.database.db.query<{ everything: string }>(
      `select (select string_agg(k::text, '') from signing_keys k) || (select string_agg(c::text, '') from cookie_keys c)
         || (select string_agg(e::text, '') from audit_events e) as everything`,
    );
    const shown = rows[0]!.everything + JSON.stringify(await keys.list());
    for (const { d, kid } of keys.keyset().signing) {
      expect(shown).toContain(kid);
      expect(shown).not.toContain(d!);
    }
    for (const secret of keys.cookieKeys()) expect(shown).not.toContain(secret);
  });

  it('fails with a clear message where the secret key is another', async () => {
    await env.started();
    const stranger = env.build({ sealer: createSealer([sealingKeyFrom(OLD_SECRET)]) });
    await expect(stranger.start()).rejects.toThrow(/cannot be opened.*secret key/);
    expect(() => stranger.keyset()).toThrow(/start/);
  });
});

describe('cookie keys', () => {
  it('verify before they sign, sign before they retire, and are never fewer than two', async () => {
    const keys = await env.started();
    const [a, b] = keys.cookieKeys();
    await keys.rotateCookieKeys(BY);
    const [first, second, c] = keys.cookieKeys();
    expect([first, second]).toEqual([a, b]);
    env.clock.advanceSeconds(15);
    expect(keys.cookieKeys()).toEqual([c, a, b]);
    env.clock.advanceSeconds(LONGEST);
    expect(keys.cookieKeys()).toEqual([c, a]);
  });
});

describe('the secret key', () => {
  it('can be replaced: everything is sealed anew, and then opens without the old one', async () => {
    const before = await env.started({ sealer: createSealer([sealingKeyFrom(OLD_SECRET)]) });
    const both = createSealer([sealingKeyFrom(SECRET), sealingKeyFrom(OLD_SECRET)]);
    expect(await resealKeys({ db: env.database.db, sealer: both, clock: env.clock }, BY)).toBe(5);
    expect(await resealKeys({ db: env.database.db, sealer: both, clock: env.clock }, BY)).toBe(0);
    const after = env.build({ sealer: createSealer([sealingKeyFrom(SECRET)]) });
    await after.start();
    expect(after.keyset()).toEqual(before.keyset());
    expect(after.cookieKeys()).toEqual(before.cookieKeys());
  });

  it('is not replaced halfway where a key cannot be opened', async () => {
    await env.started({ sealer: createSealer([sealingKeyFrom(OLD_SECRET)]) });
    const sealed = (): Promise<unknown> =>
      env.database.db
        .query('select private_jwk_sealed from signing_keys order by kid')
        .then(({ rows }) => rows);
    const before = await sealed();
    await expect(resealKeys({ db: env.database.db, sealer, clock: env.clock }, BY)).rejects.toThrow(
      /not among/,
    );
    expect(await sealed()).toEqual(before);
  });
});

describe('the provider', () => {
  it('takes the whole set, publishes it without private parts, and signs with the current keys', async () => {
    const keys = await env.started();
    const retired = kidsOf(keys.keyset().signing)[0]!;
    await keys.rotate({ alg: 'RS256', immediately: true }, BY);
    await keys.rotate({}, BY);
    const { jwks, signing } = keys.keyset();
    expect(jwks.keys).toHaveLength(7);
    expect(kidsOf(jwks.keys).at(-1)).toBe(retired);
    for (const key of jwks.keys) expect(await calculateJwkThumbprint(key)).toBe(key.kid);

    const redirectUri = 'https://app.example/cb';
    const client = (alg: 'RS256' | 'ES256' | 'EdDSA'): object => ({
      client_id: alg,
      token_endpoint_auth_method: 'none',
      redirect_uris: [redirectUri],
      id_token_signed_response_alg: alg,
    });
    const provider = new Provider('https://id.example', {
      jwks,
      cookies: { keys: keys.cookieKeys() },
      adapter: () => ({}) as never,
      ttl: { IdToken: 600 },
      enabledJWA: { idTokenSigningAlgValues: [...DEFAULT_SIGNING_ALGS] },
      clients: DEFAULT_SIGNING_ALGS.map(client) as never,
      features: { devInteractions: { enabled: false } },
    });
    for (const [index, alg] of DEFAULT_SIGNING_ALGS.entries()) {
      const found = (await provider.Client.find(alg))!;
      const idToken = new provider.IdToken({ sub: 'ann' }, { client: found, ctx: undefined as never });
      const jwt = await idToken.issue({ use: 'idtoken' });
      const header = JSON.parse(Buffer.from(jwt.split('.')[0]!, 'base64url').toString()) as object;
      expect(header).toMatchObject({ alg, kid: signing[index]!.kid });
    }
  });
});
