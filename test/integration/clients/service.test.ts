import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { createApiService } from '../../../src/apis/service.ts';
import type { Actor } from '../../../src/audit/events.ts';
import { createClientService, type ClientService } from '../../../src/clients/service.ts';
import type { Queryable } from '../../../src/platform/database.ts';
import { createTestClock } from '../../support/clock.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { clientInput, createClient } from '../../support/factories/client.ts';

const BY: Actor = { kind: 'operator', name: 'ann' };
const clock = createTestClock(new Date('2026-06-01T12:00:00Z'));
let database: TestDatabase;
let clients: ClientService;

beforeAll(async () => {
  database = await createTestDatabase();
  clients = createClientService({ db: database.db, clock });
});
afterAll(async () => {
  await database.drop();
});

async function eventsOf(
  db: Queryable,
  clientId: string,
): Promise<{ type: string; payload: object; actor_id: string }[]> {
  const { rows } = await db.query<{ type: string; payload: object; actor_id: string }>(
    'select type, payload, actor_id from audit_events where client_id = $1 order by at, ctid',
    [clientId],
  );
  return rows;
}

describe('registering a client', () => {
  it('gives it an id, and a secret that is shown once', async () => {
    const { client, secret } = await clients.create(
      { name: 'Wiki', redirectUris: ['https://wiki.example/cb'] },
      BY,
    );
    expect(client).toMatchObject({
      name: 'Wiki',
      kind: 'web',
      createdAt: clock.now(),
      updatedAt: clock.now(),
    });
    expect(client.clientId).toMatch(/^[0-9a-f]{32}$/);
    expect(clients.verifySecret(client, secret!)).toBe(true);
    expect(clients.verifySecret(client, `${secret}x`)).toBe(false);

    const { rows } = await database.db.query<{ everything: string }>(
      `select (select string_agg(c::text, '') from clients c) || (select string_agg(s::text, '') from client_secrets s)
         || (select string_agg(e::text, '') from audit_events e) as everything`,
    );
    expect(rows[0]!.everything).toContain(client.clientId);
    expect(rows[0]!.everything).not.toContain(secret);
  });

  it('stores every property as it was given', async () => {
    const input = {
      name: 'Everything',
      kind: 'web' as const,
      firstParty: true,
      consent: 'always' as const,
      requirePkce: false,
      requirePushedAuthorizationRequests: true,
      dpopBoundAccessTokens: true,
      requireRole: 'staff',
      requireMfa: true,
      redirectUris: ['https://e.example/cb', 'https://e.example/cb2'],
      postLogoutRedirectUris: ['https://e.example/'],
      grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'] as const,
      authMethod: 'private_key_jwt' as const,
      jwks: { keys: [{ kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' }] },
      scopes: ['openid', 'roles'],
      idTokenAlg: 'EdDSA' as const,
      rolesClaim: { name: 'realm_access.roles', prefix: 'wiki:' },
      claimsInIdToken: true,
      accessTokenTtlSeconds: 120,
      clientUri: 'https://e.example/',
      logoUri: 'https://e.example/logo.svg',
      policyUri: 'https://e.example/privacy',
      tosUri: 'https://e.example/terms',
      initiateLoginUri: 'https://e.example/login',
      contacts: ['ops@e.example'],
      defaultMaxAge: 3_600,
      defaultAcrValues: ['aal2' as const],
    };
    const { client, secret } = await clients.create(input, BY);
    expect(secret).toBeUndefined();
    expect(await clients.get(client.clientId)).toMatchObject({ ...input, allowedOrigins: [], secrets: [] });
  });

  it('takes an id and a secret from elsewhere', async () => {
    const secret = 'kT2pYx9Qw4Ls7Zb1Nv8Rc3Md6Hg5Jf0A';
    const { client } = await clients.create(clientInput({ clientId: 'legacy.wiki', secret }), BY);
    expect(client.clientId).toBe('legacy.wiki');
    expect(clients.verifySecret(client, secret)).toBe(true);
    expect(await eventsOf(database.db, 'legacy.wiki')).toMatchObject([
      { type: 'client.created', actor_id: 'ann', payload: { imported: true } },
    ]);
  });

  it('refuses the name of an API, whose tokens nobody shall take for its own', async () => {
    const identifier = 'https://api.example/named';
    await createApiService({ db: database.db, clock }).create({ identifier, name: 'Named' }, BY);
    await expect(clients.create(clientInput({ clientId: identifier }), BY)).rejects.toMatchObject({
      code: 'invalid_client',
      status: 400,
    });
    await expect(clients.get(identifier)).rejects.toMatchObject({ code: 'client_not_found' });
  });

  it('refuses an id that is taken, and leaves the client there alone', async () => {
    const { client } = await createClient(clients, { clientId: 'taken', name: 'First' });
    await expect(
      clients.create(clientInput({ clientId: 'taken', name: 'Second' }), BY),
    ).rejects.toMatchObject({
      code: 'client_exists',
      status: 409,
    });
    expect(await clients.get('taken')).toEqual(client);
  });

  it.each(['', '-dash', 'a b', 'a"b', 'ä', 'x'.repeat(129)])('refuses the id %j', async (clientId) => {
    await expect(clients.create(clientInput({ clientId }), BY)).rejects.toMatchObject({
      code: 'invalid_client',
    });
  });

  it('refuses an imported secret for a client that has none', async () => {
    const input = clientInput({ isPublic: true, secret: 'kT2pYx9Qw4Ls7Zb1Nv8Rc3Md6Hg5Jf0A' });
    await expect(clients.create(input, BY)).rejects.toMatchObject({ code: 'no_secret_wanted' });
  });

  it.each([
    ["update clients set require_pkce = false, token_endpoint_auth_method = 'none'"],
    ["update clients set grant_types = '{client_credentials}', token_endpoint_auth_method = 'none'"],
    ["update clients set kind = 'machine'"],
  ])('is held to the rules by the database as well: %s', async (statement) => {
    const { client } = await createClient(clients);
    await expect(
      database.db.query(`${statement} where client_id = $1`, [client.clientId]),
    ).rejects.toMatchObject({ code: '23514' });
  });
});

describe('changing a client', () => {
  it('records what changed, by whom', async () => {
    const { client } = await createClient(clients);
    clock.advanceSeconds(5);
    const changed = await clients.update(client.clientId, { requirePkce: false, requireRole: 'staff' }, BY);
    expect(changed).toEqual({ ...client, requirePkce: false, requireRole: 'staff', updatedAt: clock.now() });
    expect(await eventsOf(database.db, client.clientId)).toMatchObject([
      { type: 'client.created' },
      { type: 'client.updated', actor_id: 'ann', payload: { changed: ['requirePkce', 'requireRole'] } },
    ]);
  });

  it('does nothing where nothing differs', async () => {
    const { client } = await createClient(clients);
    clock.advanceSeconds(5);
    expect(await clients.update(client.clientId, { name: client.name }, BY)).toEqual(client);
    expect(await eventsOf(database.db, client.clientId)).toHaveLength(1);
  });

  it('leaves neither change nor record where it is refused', async () => {
    const { client } = await createClient(clients, { isPublic: true });
    await expect(clients.update(client.clientId, { requirePkce: false }, BY)).rejects.toMatchObject({
      code: 'invalid_client',
    });
    expect(await clients.get(client.clientId)).toEqual(client);
    expect(await eventsOf(database.db, client.clientId)).toHaveLength(1);
  });

  it('loses none of two changes made at once', async () => {
    const { client } = await createClient(clients);
    await Promise.all([
      clients.update(client.clientId, { requireMfa: true }, BY),
      clients.update(client.clientId, { claimsInIdToken: true }, BY),
    ]);
    expect(await clients.get(client.clientId)).toMatchObject({ requireMfa: true, claimsInIdToken: true });
  });

  it('ends its secrets when it goes over to keys', async () => {
    const { client } = await createClient(clients);
    const after = await clients.update(
      client.clientId,
      { authMethod: 'private_key_jwt', jwksUri: 'https://keys.example/jwks' },
      BY,
    );
    expect(after.secrets).toEqual([]);
  });

  it('and deleting it ends it, with its secrets', async () => {
    const { client } = await createClient(clients);
    await clients.delete(client.clientId, BY);
    await expect(clients.get(client.clientId)).rejects.toMatchObject({
      code: 'client_not_found',
      status: 404,
    });
    await expect(clients.delete(client.clientId, BY)).rejects.toMatchObject({ code: 'client_not_found' });
    const { rows } = await database.db.query('select 1 from client_secrets where client_id = $1', [
      client.clientId,
    ]);
    expect(rows).toEqual([]);
    expect((await eventsOf(database.db, client.clientId)).map(({ type }) => type)).toEqual([
      'client.created',
      'client.deleted',
    ]);
  });
});

describe('the secrets of a client', () => {
  it('may be two during a rotation, until the first has expired', async () => {
    const { client, secret: first } = await createClient(clients);
    const rotated = await clients.rotateSecret(client.clientId, { graceSeconds: 3_600 }, BY);
    expect(clients.verifySecret(rotated.client, first!)).toBe(true);
    expect(clients.verifySecret(rotated.client, rotated.secret)).toBe(true);
    clock.advanceSeconds(3_599);
    expect(clients.verifySecret(rotated.client, first!)).toBe(true);
    clock.advanceSeconds(1);
    expect(clients.verifySecret(rotated.client, first!)).toBe(false);
    expect(clients.verifySecret(rotated.client, rotated.secret)).toBe(true);
  });

  it('may not be three', async () => {
    const { client } = await createClient(clients);
    await clients.rotateSecret(client.clientId, {}, BY);
    await expect(clients.rotateSecret(client.clientId, {}, BY)).rejects.toMatchObject({
      code: 'too_many_secrets',
      status: 409,
    });
    expect((await clients.get(client.clientId)).secrets).toHaveLength(2);
  });

  it('may not be three either when rotations come at once', async () => {
    const { client } = await createClient(clients);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, () => clients.rotateSecret(client.clientId, {}, BY)),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect((await clients.get(client.clientId)).secrets).toHaveLength(2);
  });

  it('end at once, all of them, when rotated without grace', async () => {
    const { client, secret: first } = await createClient(clients);
    const { secret: second } = await clients.rotateSecret(client.clientId, {}, BY);
    const rotated = await clients.rotateSecret(client.clientId, { graceSeconds: 0 }, BY);
    const accepted = [first!, second, rotated.secret].map((secret) =>
      clients.verifySecret(rotated.client, secret),
    );
    expect(accepted).toEqual([false, false, true]);
  });

  it('are refused once removed; the last one stays', async () => {
    const { client, secret: first } = await createClient(clients);
    const { secret: second, secretId } = await clients.rotateSecret(client.clientId, {}, BY);
    const firstId = client.secrets[0]!.id;
    const after = await clients.removeSecret(client.clientId, firstId, BY);
    expect(clients.verifySecret(after, first!)).toBe(false);
    expect(clients.verifySecret(after, second)).toBe(true);
    await expect(clients.removeSecret(client.clientId, secretId, BY)).rejects.toMatchObject({
      code: 'last_secret',
    });
    await expect(clients.removeSecret(client.clientId, firstId, BY)).rejects.toMatchObject({
      code: 'secret_not_found',
    });
    expect((await eventsOf(database.db, client.clientId)).map(({ type }) => type)).toEqual([
      'client.created',
      'client.secret_rotated',
      'client.secret_removed',
    ]);
  });

  it('are not given to public clients', async () => {
    const { client } = await createClient(clients, { isPublic: true });
    await expect(clients.rotateSecret(client.clientId, {}, BY)).rejects.toMatchObject({
      code: 'no_secret_wanted',
    });
  });
});

describe('the list of clients', () => {
  it('can be read in pages', async () => {
    const all = await clients.list();
    expect(all.length).toBeGreaterThan(5);
    const read: string[] = [];
    for (let page = await clients.list({ limit: 3 }); page.length > 0;) {
      read.push(...page.map(({ clientId }) => clientId));
      page = await clients.list({ limit: 3, after: read.at(-1)! });
    }
    expect(read).toEqual(all.map(({ clientId }) => clientId));
  });
});
