import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { verifySecret } from '../../../src/clients/secrets.ts';
import { createClientService } from '../../../src/clients/service.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createTestCli, words, type TestCli } from '../../support/cli.ts';

// Several processes to a test, on machines that may be busy.
jest.setTimeout(120_000);

let cli: TestCli;
beforeAll(async () => {
  cli = await createTestCli();
});
afterAll(() => cli.stop());

interface Shown extends Record<string, unknown> {
  client_id: string;
  secrets: { id: string; expires_at: string | null }[];
  warnings: string[];
}

interface Created {
  client_id: string;
  client_secret: string;
}

const create = async (...args: string[]): Promise<Created> =>
  (await cli.run(['clients', 'create', ...args, '--json'])).json<Created>();
const show = async (clientId: string): Promise<Shown> =>
  (await cli.run(['clients', 'show', clientId, '--json'])).json<Shown>();

async function isLive(clientId: string, secret: string): Promise<boolean> {
  const clients = createClientService({ db: cli.database.db, clock: systemClock });
  return verifySecret(await clients.get(clientId), secret, new Date());
}

describe('clients create', () => {
  it('takes the exact form that scripts use: values repeated and several at once', async () => {
    const { code, json, stderr } = await cli.run(words`
        clients create --name Wiki --redirect-uri https://a.example/cb https://b.example/cb
        --redirect-uri https://c.example/cb --post-logout-redirect-uri https://a.example/out
        --grant-type authorization_code --grant-type refresh_token --first-party
        --scope openid email --scope ${'profile offline_access'} --json`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const created = json<Created>();
    expect(created).toEqual({ client_id: expect.any(String), client_secret: expect.any(String) });
    expect(await isLive(created.client_id, created.client_secret)).toBe(true);
    expect(await show(created.client_id)).toMatchObject({
      name: 'Wiki',
      kind: 'web',
      redirect_uris: ['https://a.example/cb', 'https://b.example/cb', 'https://c.example/cb'],
      post_logout_redirect_uris: ['https://a.example/out'],
      grant_types: ['authorization_code', 'refresh_token'],
      scopes: ['openid', 'email', 'profile', 'offline_access'],
      first_party: true,
      consent: 'never',
      require_pkce: true,
      warnings: [],
    });
  });

  it('makes a machine client where there is no redirect URI', async () => {
    const { client_id: clientId } = await create('--name', 'Backup');
    expect(await show(clientId)).toMatchObject({ kind: 'machine', grant_types: ['client_credentials'] });
  });

  it('gives a public client no secret', async () => {
    const created = await create('--name', 'Phone', '--public', '--redirect-uri', 'com.example.phone:/cb');
    expect(created).toEqual({ client_id: expect.any(String) });
    expect(await show(created.client_id)).toMatchObject({ kind: 'native', auth_method: 'none', secrets: [] });
  });

  it('takes everything that a client can be', async () => {
    const jwks = path.join(cli.env['GATEHOUSE_DATA_DIR']!, 'jwks.json');
    const { publicKey } = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, [
      'sign',
    ]);
    await writeFile(
      jwks,
      JSON.stringify({ keys: [plainKey({ ...(await crypto.subtle.exportKey('jwk', publicKey)) })] }),
    );
    const created = await create(
      ...words`
        --name Argo --client-id argo --redirect-uri https://argo.example/cb
        --auth-method private_key_jwt --jwks-file ${jwks} --consent always --require-mfa
        --id-token-alg ES256 --roles-claim groups --roles-prefix argo:
        --claims-in-id-token --access-token-ttl 5m --par-required --dpop-bound --no-pkce
        --client-uri https://argo.example/ --initiate-login-uri https://argo.example/login
        --policy-uri https://argo.example/privacy --contact ops@argo.example
        --default-max-age 1h --default-acr aal2 aal1
        --require-signed-requests --request-signing-alg PS256 --authorization-signing-alg ES256
        --userinfo-signing-alg EdDSA --introspection-signing-alg ES256`,
    );
    expect(created).toEqual({ client_id: 'argo' });
    expect(await show('argo')).toMatchObject({
      auth_method: 'private_key_jwt',
      jwks: { keys: [{ kty: 'EC', crv: 'P-256' }] },
      consent: 'always',
      require_mfa: true,
      id_token_alg: 'ES256',
      roles_claim: 'groups',
      roles_prefix: 'argo:',
      claims_in_id_token: true,
      access_token_ttl_seconds: 300,
      require_pushed_authorization_requests: true,
      dpop_bound_access_tokens: true,
      require_pkce: false,
      client_uri: 'https://argo.example/',
      initiate_login_uri: 'https://argo.example/login',
      policy_uri: 'https://argo.example/privacy',
      contacts: ['ops@argo.example'],
      default_max_age: 3_600,
      default_acr_values: ['aal2', 'aal1'],
      require_signed_request_object: true,
      request_object_signing_alg: 'PS256',
      authorization_signed_response_alg: 'ES256',
      userinfo_signed_response_alg: 'EdDSA',
      introspection_signed_response_alg: 'ES256',
      warnings: [expect.stringContaining('PKCE')],
    });
    const { stdout } = await cli.run(['clients', 'list']);
    expect(stdout).toMatch(/^argo .*PKCE LIFTED$/m);
    expect(stdout.match(/PKCE LIFTED/g)).toHaveLength(1);
  });

  it('keeps the id and the secret of another provider', async () => {
    const secret = 'Zm9yZWlnbi1zZWNyZXQtb2YtMjU2LWJpdHM';
    const { code } = await cli.run(
      ['clients', 'create', '--name', 'Old', '--client-id', 'old', '--secret-stdin'],
      {
        input: `${secret}\n`,
      },
    );
    expect(code).toBe(0);
    expect(await isLive('old', secret)).toBe(true);
  });

  it('says when the role that it asks for is not there, and registers it all the same', async () => {
    const { code, stderr } = await cli.run([
      'clients',
      'create',
      '--name',
      'R',
      '--require-role',
      'ghost',
      '--json',
    ]);
    expect(code).toBe(0);
    expect(stderr).toContain('gatehouse roles create ghost');
  });

  it.each([
    ['a wildcard', ['--name', 'X', '--redirect-uri', 'https://*.example/cb'], 1, 'invalid_redirect_uri'],
    ['a public machine', ['--name', 'X', '--public'], 1, 'invalid_client'],
    ['keys that are not JSON', ['--name', 'X', '--jwks-file', import.meta.filename], 1, 'not_json'],
    ['no name', ['--redirect-uri', 'https://x.example/cb'], 2, 'misused'],
    ['an unknown grant type', ['--name', 'X', '--grant-type', 'password'], 2, 'misused'],
  ])('refuses %s', async (_, args, code, error) => {
    const outcome = await cli.run(['clients', 'create', ...args, '--json']);
    expect([outcome.code, outcome.stdout, outcome.error().error]).toEqual([code, '', error]);
  });
});

it('shows the less common options as they are given, or taken back', async () => {
  const { code, stdout } = await cli.run(
    words`
      clients create --name X --redirect-uri https://x.example/cb --dpop-bound
      --default-max-age 1h --default-acr aal2 aal1 --no-rotate-refresh-tokens`,
  );
  expect(code).toBe(0);
  const lines = stdout.split('\n').map((line) => line.trim().replace(/^Further options +/, ''));
  expect(lines).toEqual(
    expect.arrayContaining([
      '--default-max-age 3600',
      '--default-acr aal2 aal1',
      '--no-rotate-refresh-tokens',
    ]),
  );
});

it('says what a client lacks by the option that gives it', async () => {
  const { code, stderr } = await cli.run(
    words`clients create --name X --redirect-uri https://x.example/cb --auth-method private_key_jwt`,
  );
  expect(code).toBe(1);
  expect(stderr).toContain('private_key_jwt needs the public keys, as one of --jwks-file and --jwks-uri.');
});

describe('a client', () => {
  it('keeps what an update does not name, and gives back what is cleared', async () => {
    const uri = 'https://u.example/cb';
    const { client_id: id } = await create(
      ...words`
        --name U --redirect-uri ${uri} --no-pkce --first-party --roles-claim groups
        --roles-prefix u: --tos-uri https://u.example/tos --contact ops@u.example
        --default-max-age 1h`,
    );
    const renamed = await cli.run(['clients', 'update', id, '--name', 'V', '--json']);
    expect(renamed.json()).toMatchObject({
      name: 'V',
      require_pkce: false,
      first_party: true,
      redirect_uris: [uri],
    });
    const changed = await cli.run(words`
        clients update ${id} --pkce --no-first-party --consent once --redirect-uri
        https://v.example/cb --roles-claim roles_here --clear tos-uri contact default-max-age --json`);
    expect(changed.json()).not.toHaveProperty('default_max_age');
    expect(changed.json()).toMatchObject({
      require_pkce: true,
      first_party: false,
      redirect_uris: ['https://v.example/cb'],
      roles_claim: 'roles_here',
      roles_prefix: 'u:',
      tos_uri: null,
      contacts: [],
    });
    expect(
      (await cli.run(['clients', 'update', id, '--clear', 'roles-prefix', '--json'])).json(),
    ).toMatchObject({
      roles_claim: 'roles_here',
      roles_prefix: null,
    });
    expect((await cli.run(['clients', 'update', id])).code).toBe(2);
    expect((await cli.run(['clients', 'update', id, '--clear', 'name', '--json'])).error().error).toBe(
      'misused',
    );
  });

  it('has two live secrets during a rotation, and the operator ends the first', async () => {
    const { client_id: id, client_secret: first } = await create('--name', 'S');
    const { secrets } = await show(id);
    const rotated = await cli.run(['clients', 'rotate-secret', id, '--json']);
    const second = rotated.json<Created & { secret_id: string }>();
    expect(second).toEqual({
      client_id: id,
      client_secret: expect.any(String),
      secret_id: expect.any(String),
    });
    expect([await isLive(id, first), await isLive(id, second.client_secret)]).toEqual([true, true]);
    const third = await cli.run(['clients', 'rotate-secret', id, '--json']);
    expect([third.code, third.error().error]).toEqual([1, 'too_many_secrets']);
    await cli.run(['clients', 'remove-secret', id, secrets[0]!.id]);
    expect([await isLive(id, first), await isLive(id, second.client_secret)]).toEqual([false, true]);
    const last = await cli.run(['clients', 'remove-secret', id, second.secret_id, '--json']);
    expect([last.code, last.error().error]).toEqual([1, 'last_secret']);
  });

  it('ends the first secret after the grace that is given', async () => {
    const { client_id: id, client_secret: first } = await create('--name', 'G');
    await cli.run(['clients', 'rotate-secret', id, '--grace', '7d']);
    const { secrets } = await show(id);
    const ends = secrets.map(
      ({ expires_at: at }) => at && Math.round((Date.parse(at) - Date.now()) / 86_400_000),
    );
    expect(ends).toEqual([7, null]);
    await cli.run(['clients', 'rotate-secret', id, '--grace', '0']);
    expect(await isLive(id, first)).toBe(false);
  });

  it('is deleted', async () => {
    const { client_id: id } = await create('--name', 'D');
    expect((await cli.run(['clients', 'delete', id, '--json'])).json()).toEqual({
      client_id: id,
      deleted: true,
    });
    const gone = await cli.run(['clients', 'show', id, '--json']);
    expect([gone.code, gone.error().error]).toEqual([1, 'client_not_found']);
  });
});

function plainKey({ kty, crv, x, y }: Record<string, unknown>): object {
  return { kty, crv, x, y };
}
