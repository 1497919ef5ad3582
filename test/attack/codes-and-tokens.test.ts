/** Codes and tokens in the wrong hands or the wrong place (RFC 9700 §4.4–4.8, §4.14; RFC 7009, RFC 7662). */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';

import { randomToken } from '../../src/platform/ids.ts';
import {
  authorizationRequest,
  basicOf,
  codeOf,
  introspect,
  redeem,
  refresh,
  registerApplication,
  registerPerson,
  signedIn,
  tokenRequest,
  type Application,
  type Tokens,
} from '../support/application.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import type { Person } from '../support/person.ts';
import { recordedOf } from '../support/recorded.ts';

let server: TestServer;
let application: Application;
let stranger: Application;
let publicApplication: Application;
let person: Person;

beforeAll(async () => {
  server = await startGatehouse();
  ({ application, person } = await signedIn(server));
  stranger = await registerApplication(server);
  publicApplication = await registerApplication(server, { kind: 'browser' });
});
afterAll(() => server.stop());

async function newCode(
  client = application,
  parameters: Record<string, string | undefined> = {},
): Promise<{ code: string; verifier: string }> {
  const request = authorizationRequest(server, client, parameters);
  return { code: codeOf(await person.open(request.url)), verifier: request.verifier };
}

async function newTokens(client = application): Promise<Required<Tokens>> {
  const response = await redeem(server, client, await newCode(client));
  expect(response.status).toBe(200);
  return (await response.json()) as Required<Tokens>;
}

/** Refused, told why by the standard's word alone, and recorded with the reason. */
async function expectRefused(response: Response, status: number, error: string): Promise<void> {
  const body = (await response.json()) as Record<string, unknown>;
  expect([response.status, body]).toMatchObject([status, { error }]);
  const { error_description: description, scope: _scope, ...rest } = body;
  expect([rest, typeof description]).toEqual([{ error }, 'string']);
  expect(response.headers.get('cache-control')).toContain('no-store');
  const events = await recordedOf(server, response);
  expect(events.map(({ outcome }) => outcome)).not.toContain('success');
  expect(events).toContainEqual(
    expect.objectContaining({
      type: 'token.refused',
      payload: expect.objectContaining({ error, reason: expect.any(String) }),
    }),
  );
  const said = JSON.stringify([body, events]);
  for (const secret of [application.secret, stranger.secret]) expect(said).not.toContain(secret);
}

describe('a code', () => {
  const exchange = (client: Application, parameters: Record<string, string | undefined>) =>
    tokenRequest(
      server,
      client,
      Object.fromEntries(
        Object.entries({
          grant_type: 'authorization_code',
          redirect_uri: client.redirectUri,
          ...parameters,
        }).filter(([, value]) => value !== undefined),
      ),
    );

  it('is of no use to another client, and stays good for its own', async () => {
    const { code, verifier } = await newCode();
    await expectRefused(await exchange(stranger, { code, code_verifier: verifier }), 400, 'invalid_grant');
    await expectRefused(
      await exchange(publicApplication, { code, code_verifier: verifier }),
      400,
      'invalid_grant',
    );
    expect((await redeem(server, application, { code, verifier })).status).toBe(200);
  });

  it('of a public client is of no use to a confidential one', async () => {
    const { code, verifier } = await newCode(publicApplication);
    await expectRefused(await exchange(application, { code, code_verifier: verifier }), 400, 'invalid_grant');
  });

  it.each<[string, (code: { code: string; verifier: string }) => Record<string, string | undefined>, string]>(
    [
      ['without the verifier', () => ({ code_verifier: undefined }), 'invalid_grant'],
      ['with an empty verifier', () => ({ code_verifier: '' }), 'invalid_grant'],
      ["with another request's verifier", () => ({ code_verifier: randomToken() }), 'invalid_grant'],
      [
        'with the challenge for a verifier',
        ({ verifier }) => ({
          code_verifier: createHash('sha256').update(verifier).digest('base64url'),
        }),
        'invalid_grant',
      ],
      ['with a short verifier', () => ({ code_verifier: 'x' }), 'invalid_request'],
      ['with a long verifier', () => ({ code_verifier: 'x'.repeat(129) }), 'invalid_request'],
      ['with foreign characters', () => ({ code_verifier: 'ä'.repeat(43) }), 'invalid_request'],
      [
        'with another registered address',
        () => ({ redirect_uri: 'https://app.example/other' }),
        'invalid_grant',
      ],
      ['without the address', () => ({ redirect_uri: undefined }), 'invalid_request'],
      ['in capital letters', ({ code }) => ({ code: code.toUpperCase() }), 'invalid_grant'],
      ['with a letter more', ({ code }) => ({ code: `${code}A` }), 'invalid_grant'],
      ['with a NUL byte', ({ code }) => ({ code: `${code}\u0000` }), 'invalid_grant'],
      ['when it is empty', () => ({ code: '' }), 'invalid_request'],
      ['when it is missing', () => ({ code: undefined }), 'invalid_request'],
    ],
  )('is refused %s', async (_name, change, error) => {
    const given = await newCode();
    await expectRefused(
      await exchange(application, {
        code: given.code,
        code_verifier: given.verifier,
        ...change(given),
      }),
      400,
      error,
    );
  });

  it('made without a challenge is refused with a verifier (PKCE downgrade, RFC 9700 §4.8.2)', async () => {
    const lax = await registerApplication(server, { requirePkce: false });
    const { code } = await newCode(lax, { code_challenge: undefined, code_challenge_method: undefined });
    await expectRefused(await exchange(lax, { code, code_verifier: randomToken() }), 400, 'invalid_grant');
  });

  it('made with a challenge needs its verifier even from a client that may go without', async () => {
    const lax = await registerApplication(server, { requirePkce: false });
    const { code } = await newCode(lax);
    await expectRefused(await exchange(lax, { code }), 400, 'invalid_grant');
  });

  it('is no access token and no refresh token', async () => {
    const { code } = await newCode();
    await expectRefused(await refresh(server, application, code), 400, 'invalid_grant');
    expect((await userinfo(code)).status).toBe(401);
    expect(await introspect(server, application, code)).toEqual({ active: false });
  });
});

function userinfo(token: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${server.issuer}/oauth/userinfo`, {
    headers: { authorization: `Bearer ${token}`, ...headers },
  });
}

describe('a refresh token', () => {
  it('is of no use to another client, and stays good for its own', async () => {
    const { refresh_token: token } = await newTokens();
    await expectRefused(await refresh(server, stranger, token), 400, 'invalid_grant');
    await expectRefused(await refresh(server, publicApplication, token), 400, 'invalid_grant');
    expect((await refresh(server, application, token)).status).toBe(200);
  });

  it('is no access token, and an access token is no refresh token', async () => {
    const tokens = await newTokens();
    expect((await userinfo(tokens.refresh_token)).status).toBe(401);
    await expectRefused(await refresh(server, application, tokens.access_token), 400, 'invalid_grant');
    await expectRefused(await refresh(server, application, tokens.id_token), 400, 'invalid_grant');
    expect((await userinfo(tokens.id_token)).status).toBe(401);
  });

  it.each([
    ['a broader scope', 'openid offline_access email'],
    ['an unknown scope', 'openid admin'],
  ])('gives no %s', async (_name, scope) => {
    const { refresh_token: token } = await newTokens();
    const response = await tokenRequest(server, application, {
      grant_type: 'refresh_token',
      refresh_token: token,
      scope,
    });
    await expectRefused(response, 400, 'invalid_scope');
  });

  it.each([
    ['garbage', 'garbage'],
    ['empty', ''],
    ['long', `rt_${'x'.repeat(20_000)}`],
    ['with a NUL byte', 'rt_\u0000'],
    ['a property of every object', '__proto__'],
  ])('is refused when it is %s', async (_name, token) => {
    await expectRefused(
      await refresh(server, application, token),
      400,
      token === '' ? 'invalid_request' : 'invalid_grant',
    );
  });
});

describe('grant types', () => {
  it.each([
    'password',
    'implicit',
    'urn:ietf:params:oauth:grant-type:jwt-bearer',
    'urn:ietf:params:oauth:grant-type:saml2-bearer',
    'AUTHORIZATION_CODE',
    'constructor',
    'x'.repeat(5000),
    '\u0000',
    `${'x'.repeat(99)}😀`,
  ])('%.60s is refused', async (grantType) => {
    const response = await tokenRequest(server, application, {
      grant_type: grantType,
      username: 'ada',
      password: 'x',
      assertion: 'x',
    });
    await expectRefused(response, 400, 'unsupported_grant_type');
  });

  it.each([
    'client_credentials',
    'urn:ietf:params:oauth:grant-type:device_code',
    'urn:ietf:params:oauth:grant-type:token-exchange',
    'urn:openid:params:grant-type:ciba',
  ])('%s is refused to a client that was not given it', async (grantType) => {
    const response = await tokenRequest(server, application, { grant_type: grantType });
    await expectRefused(response, 400, 'unauthorized_client');
  });

  it('is refused to a machine that asks in the name of a person', async () => {
    const { client, secret } = await server.subjects.clients.create(
      { name: 'Machine', kind: 'machine' },
      { kind: 'operator', name: 'test' },
    );
    const machine = { clientId: client.clientId, secret, redirectUri: application.redirectUri };
    const { code, verifier } = await newCode();
    await expectRefused(await redeem(server, machine, { code, verifier }), 400, 'unauthorized_client');
    const scoped = await tokenRequest(server, machine, { grant_type: 'client_credentials', scope: 'openid' });
    await expectRefused(scoped, 400, 'invalid_scope');
  });
});

describe('an access token', () => {
  it.each<[string, (token: string) => RequestInit & { query?: string }]>([
    ['without a token', () => ({})],
    ['in the query', (token) => ({ query: `?access_token=${token}` })],
    ['in capital letters', (token) => ({ headers: { authorization: `Bearer ${token.toUpperCase()}` } })],
    ['as Basic', (token) => ({ headers: { authorization: `Basic ${btoa(`x:${token}`)}` } })],
    ['as DPoP without a proof', (token) => ({ headers: { authorization: `DPoP ${token}` } })],
    ['twice', (token) => ({ headers: { authorization: `Bearer ${token} ${token}` } })],
    [
      'in header and body',
      (token) => ({
        method: 'POST',
        headers: { authorization: `Bearer ${token}` },
        body: new URLSearchParams({ access_token: token }),
      }),
    ],
  ])('is refused at userinfo %s', async (_name, init) => {
    const { access_token: token } = await newTokens();
    const { query = '', ...rest } = init(token);
    const response = await fetch(`${server.issuer}/oauth/userinfo${query}`, rest);
    expect([400, 401]).toContain(response.status);
    expect(await response.text()).not.toContain('sub');
    expect(await recordedOf(server, response)).toMatchObject([{ type: 'userinfo.refused' }]);
  });

  it('of a machine tells about nobody', async () => {
    const { client, secret } = await server.subjects.clients.create(
      { name: 'Machine', kind: 'machine' },
      { kind: 'operator', name: 'test' },
    );
    const machine = { clientId: client.clientId, secret, redirectUri: '' };
    const response = await tokenRequest(server, machine, { grant_type: 'client_credentials' });
    const { access_token: token } = (await response.json()) as Tokens;
    expect(token).toMatch(/^cc_/);
    expect((await userinfo(token)).status).toBe(401);
  });

  it('of a machine names nobody: a client and a person never share a name (RFC 9700 §4.15)', async () => {
    const by = { kind: 'operator', name: 'test' } as const;
    const { account } = await registerPerson(server);
    await expect(
      server.subjects.clients.create({ name: 'Machine', kind: 'machine', clientId: account.sub }, by),
    ).rejects.toMatchObject({ code: 'invalid_client' });
    const { client } = await server.subjects.clients.create({ name: 'Machine', kind: 'machine' }, by);
    await expect(
      server.subjects.accounts.create({ email: 'namesake@example.test', sub: client.clientId }, by),
    ).rejects.toMatchObject({ code: 'sub_taken' });
  });
});

describe('introspection', () => {
  const ask = (body: Record<string, string>, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${server.issuer}/oauth/introspect`, {
      method: 'POST',
      headers,
      body: new URLSearchParams(body),
    });

  it('tells a stranger nothing about a token that lives', async () => {
    const tokens = await newTokens();
    for (const token of [tokens.access_token, tokens.refresh_token]) {
      expect(await introspect(server, stranger, token)).toEqual({ active: false });
      expect(await introspect(server, application, token)).toMatchObject({ active: true });
    }
  });

  it('tells a public client nothing, not even about its own (RFC 7662 §2.1)', async () => {
    const { access_token: token } = await newTokens(publicApplication);
    const response = await ask({ client_id: publicApplication.clientId, token });
    expect(await response.json()).toEqual({ active: false });
  });

  it('is refused without a client', async () => {
    const { access_token: token } = await newTokens();
    for (const headers of [{}, { authorization: `Bearer ${token}` }] as Record<string, string>[]) {
      const response = await ask({ token }, headers);
      expect([400, 401]).toContain(response.status);
      expect(await response.text()).not.toContain('active');
      expect(await recordedOf(server, response)).toMatchObject([{ type: 'token.introspection_refused' }]);
    }
  });

  it('is not misled by a hint of the wrong kind, a NUL byte or nothing at all', async () => {
    const headers = { authorization: basicOf(application) };
    const { access_token: token } = await newTokens();
    const hinted = await ask({ token, token_type_hint: 'refresh_token' }, headers);
    expect(await hinted.json()).toMatchObject({ active: true });
    for (const odd of ['\u0000', 'at_', '__proto__', 'x'.repeat(20_000)]) {
      expect(await (await ask({ token: odd }, headers)).json()).toEqual({ active: false });
    }
    expect((await ask({ token: '' }, headers)).status).toBe(400);
  });
});

describe('revocation', () => {
  it('by a stranger changes nothing', async () => {
    const tokens = await newTokens();
    for (const token of [tokens.access_token, tokens.refresh_token]) {
      for (const client of [stranger, publicApplication]) {
        const response = await fetch(`${server.issuer}/oauth/revoke`, {
          method: 'POST',
          headers: client.secret === undefined ? {} : { authorization: basicOf(client) },
          body: new URLSearchParams({
            token,
            ...(client.secret === undefined ? { client_id: client.clientId } : {}),
          }),
        });
        expect(response.status).toBe(200);
        expect(await recordedOf(server, response)).toMatchObject([
          { type: 'token.revocation_refused', client_id: client.clientId },
        ]);
      }
      expect(await introspect(server, application, token)).toMatchObject({ active: true });
    }
  });

  it('is refused without a client', async () => {
    const { access_token: token } = await newTokens();
    const response = await fetch(`${server.issuer}/oauth/revoke`, {
      method: 'POST',
      body: new URLSearchParams({ token }),
    });
    expect(response.status).toBe(400);
    expect(await recordedOf(server, response)).toMatchObject([{ type: 'token.revocation_refused' }]);
    expect(await introspect(server, application, token)).toMatchObject({ active: true });
  });
});
