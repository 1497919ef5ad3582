/** RFC 7591 and 7592, as a client meets them. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import * as oauth from 'oauth4webapi';

import {
  authorizationRequest,
  authorize,
  codeOf,
  OPERATOR,
  redeem,
  registerPerson,
  tokenRequest,
} from '../../support/application.ts';
import { tokensOf } from '../../support/apis.ts';
import { createShiftedClock } from '../../support/clock.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';
import { startOfSecond } from '../../support/seconds.ts';
import { initialToken, METADATA, POLICY, recorded, register, send } from '../../support/registration.ts';

const DAY_SECONDS = 86_400;

let server: TestServer;
let token: string;
const clock = createShiftedClock();
beforeAll(async () => {
  server = await startGatehouse({
    clock,
    env: { GATEHOUSE_REGISTRATION_ENABLED: 'true', GATEHOUSE_REGISTRATION_ADDRESS_FREE_ATTEMPTS: '1000' },
  });
  ({ token } = await initialToken(server));
}, 60_000);
afterAll(() => server.stop());

const registered = async (metadata: object = METADATA) => {
  const answer = await register(server, token, metadata);
  expect(answer.status).toBe(201);
  const { client_id: clientId, client_secret: secret, registration_access_token: access } = answer.body;
  return {
    clientId: String(clientId),
    secret: secret as string | undefined,
    access: String(access),
    uri: String(answer.body['registration_client_uri']),
    body: answer.body,
  };
};

describe('registering', () => {
  it('answers as RFC 7591 says, and is announced', async () => {
    const answer = await register(server, token);
    expect(answer.status).toBe(201);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.body).toEqual({
      client_id: expect.stringMatching(/^[0-9a-f]{32}$/),
      client_id_issued_at: expect.any(Number),
      client_secret: expect.any(String),
      client_secret_expires_at: 0,
      registration_access_token: expect.any(String),
      registration_client_uri: `${server.issuer}/oauth/register/${String(answer.body['client_id'])}`,
      client_name: 'Wiki',
      application_type: 'web',
      redirect_uris: METADATA.redirect_uris,
      post_logout_redirect_uris: [],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_basic',
      scope: 'openid profile email offline_access',
      id_token_signed_response_alg: 'RS256',
      require_pushed_authorization_requests: false,
      dpop_bound_access_tokens: false,
      subject_type: 'public',
    });
    const discovered = await (await fetch(`${server.issuer}/.well-known/openid-configuration`)).json();
    expect(discovered).toMatchObject({ registration_endpoint: `${server.issuer}/oauth/register` });
    expect(discovered).not.toHaveProperty('client_id_metadata_document_supported');
  });

  it('lets a library that we did not write register', async () => {
    const issuer = new URL(server.issuer);
    const discovered = await oauth.processDiscoveryResponse(
      issuer,
      await oauth.discoveryRequest(issuer, { [oauth.allowInsecureRequests]: true }),
    );
    const client = await oauth.processDynamicClientRegistrationResponse(
      await oauth.dynamicClientRegistrationRequest(discovered, METADATA, {
        initialAccessToken: token,
        [oauth.allowInsecureRequests]: true,
      }),
    );
    expect(client).toMatchObject({ client_name: 'Wiki', client_secret: expect.any(String) });
  });

  it('makes a client that people can sign in to, asked for consent, with PKCE', async () => {
    const { clientId, secret, body } = await registered({
      ...METADATA,
      client_uri: 'https://bank.example/',
      tos_uri: 'https://app.example/tos',
    });
    // What it says of itself beyond its hosts is passed over: people would meet it as a link on our pages.
    expect(body).not.toHaveProperty('client_uri');
    expect(body).toHaveProperty('tos_uri');
    const application = { clientId, secret, redirectUri: METADATA.redirect_uris[0]! };
    const person = createPerson(server.issuer);
    const credentials = await registerPerson(server);
    const request = authorizationRequest(server, application, { scope: 'openid email' });
    const consent = await authorize(person, request, credentials);
    expect(consent.html).toContain('Nobody here has checked this app');
    expect(consent.html).toContain('app.example');
    const visited = await person.submit(consent, { decision: 'allow' }, '/consent');
    const response = await redeem(server, application, { code: codeOf(visited), verifier: request.verifier });
    expect(await tokensOf(response)).toMatchObject({ scope: 'openid email' });

    const withoutPkce = new URL(authorizationRequest(server, application).url);
    withoutPkce.searchParams.delete('code_challenge');
    withoutPkce.searchParams.delete('code_challenge_method');
    const refused = await person.open(withoutPkce.href);
    expect(refused.url.searchParams.get('error')).toBe('invalid_request');
  });

  it.each([
    [
      'an installed application',
      { redirect_uris: ['http://127.0.0.1/cb'] },
      { application_type: 'native', token_endpoint_auth_method: 'none' },
    ],
    [
      'one on localhost',
      { redirect_uris: ['http://localhost:8912/cb'], token_endpoint_auth_method: 'none' },
      { application_type: 'native' },
    ],
    [
      'one in the browser',
      { redirect_uris: ['https://a.corp.example/cb'], token_endpoint_auth_method: 'none' },
      { application_type: 'web' },
    ],
    [
      'a machine',
      { grant_types: ['client_credentials'] },
      { grant_types: ['client_credentials'], redirect_uris: [], response_types: [] },
    ],
    [
      'what is too much',
      { ...METADATA, scope: 'openid roles', grant_types: ['authorization_code', 'implicit'] },
      { scope: 'openid', grant_types: ['authorization_code'] },
    ],
    [
      'null and what we do not know',
      { ...METADATA, logo_uri: null, software_id: 'x', 'client_name#de': 'Wiki' },
      { client_name: 'Wiki' },
    ],
  ])('takes %s', async (_, metadata, expected) => {
    const { body } = await registered(metadata);
    expect(body).toMatchObject(expected);
    expect(body).not.toHaveProperty('software_id');
    expect(body).not.toHaveProperty('logo_uri');
  });

  it.each<[string, unknown, string]>([
    [
      'a host that the policy does not name',
      { ...METADATA, redirect_uris: ['https://evil.example/cb'] },
      'invalid_redirect_uri',
    ],
    [
      'a host that only looks like one',
      { ...METADATA, redirect_uris: ['https://app.example.evil.example/cb'] },
      'invalid_redirect_uri',
    ],
    [
      'the domain of which only what is below is named',
      { ...METADATA, redirect_uris: ['https://corp.example/cb'] },
      'invalid_redirect_uri',
    ],
    ['another port', { ...METADATA, redirect_uris: ['https://app.example:8443/cb'] }, 'invalid_redirect_uri'],
    ['plain http', { ...METADATA, redirect_uris: ['http://app.example/cb'] }, 'invalid_redirect_uri'],
    ['a fragment', { ...METADATA, redirect_uris: ['https://app.example/cb#a'] }, 'invalid_redirect_uri'],
    [
      'one wrong URI among right ones',
      { ...METADATA, redirect_uris: [...METADATA.redirect_uris, 'javascript:alert(1)'] },
      'invalid_redirect_uri',
    ],
    [
      'another host after signing out',
      { ...METADATA, post_logout_redirect_uris: ['https://evil.example/'] },
      'invalid_redirect_uri',
    ],
    [
      'notices of sign-outs to another host',
      { ...METADATA, backchannel_logout_uri: 'https://evil.example/' },
      'invalid_client_metadata',
    ],
    [
      'a way to authenticate that the policy does not name',
      { ...METADATA, token_endpoint_auth_method: 'client_secret_post' },
      'invalid_client_metadata',
    ],
    [
      'no grant type that is permitted',
      { ...METADATA, grant_types: ['implicit'] },
      'invalid_client_metadata',
    ],
    [
      'tokens in the front channel',
      { ...METADATA, response_types: ['code', 'token'] },
      'invalid_client_metadata',
    ],
    [
      'a key that is private',
      {
        ...METADATA,
        token_endpoint_auth_method: 'private_key_jwt',
        jwks: { keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'abc', d: 'abc' }] },
      },
      'invalid_client_metadata',
    ],
    [
      'keys twice',
      {
        ...METADATA,
        token_endpoint_auth_method: 'private_key_jwt',
        jwks: { keys: [] },
        jwks_uri: 'https://app.example/keys',
      },
      'invalid_client_metadata',
    ],
    [
      'a name that turns the line round',
      { ...METADATA, client_name: 'Wiki\u202eevil' },
      'invalid_client_metadata',
    ],
    [
      'a software statement',
      { ...METADATA, software_statement: 'e30.e30.' },
      'unapproved_software_statement',
    ],
    ['a list', [METADATA], 'invalid_client_metadata'],
    ['what is no JSON', '{"a":', 'invalid_request'],
    [
      'a text for a list',
      { ...METADATA, redirect_uris: 'https://app.example/callback' },
      'invalid_client_metadata',
    ],
    [
      'far too many URIs',
      { ...METADATA, redirect_uris: Array.from({ length: 51 }, (_, i) => `https://app.example/${i}`) },
      'invalid_client_metadata',
    ],
  ])('refuses %s', async (_, metadata, error) => {
    const before = await recorded(server, 'client.registration_refused');
    const { status, body } = await register(server, token, metadata);
    expect([status, body['error']]).toEqual([400, error]);
    const after = await recorded(server, 'client.registration_refused');
    expect(after.length).toBe(before.length + 1);
    expect(after.at(-1)?.payload).toEqual({ error, reason: expect.any(String) });
  });

  it('refuses a body of another type, and one that is too long', async () => {
    const form = await fetch(`${server.issuer}/oauth/register`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      body: new URLSearchParams({ client_name: 'Wiki' }),
    });
    expect(form.status).toBe(400);
    const long = await register(server, token, { ...METADATA, tos_uri: 'a'.repeat(70_000) });
    expect(long.status).toBe(413);
  });

  it('may be called by any page, and by its methods only', async () => {
    const preflight = await fetch(`${server.issuer}/oauth/register`, {
      method: 'OPTIONS',
      headers: { origin: 'https://inspector.example', 'access-control-request-method': 'POST' },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-origin')).toBe('https://inspector.example');
    expect((await send(`${server.issuer}/oauth/register`, { method: 'GET' })).status).toBe(405);
  });

  it.each([
    ['none', async () => undefined, 'no initial access token'],
    ['one that was never given', async () => 'nonsense', 'no such initial access token'],
    [
      'one that was revoked',
      async () => {
        const made = await initialToken(server);
        await server.subjects.registrationTokens.revoke(made.id, OPERATOR);
        return made.token;
      },
      'revoked',
    ],
    [
      'one that has expired',
      async () => (await initialToken(server, { expiresAt: new Date(clock.now().getTime() - 1) })).token,
      'expired',
    ],
    [
      'one that is used up',
      async () => {
        const made = await initialToken(server, { maxUses: 1 });
        expect((await register(server, made.token)).status).toBe(201);
        return made.token;
      },
      'used up',
    ],
  ])('needs a token: %s', async (_, make, reason) => {
    const { status, headers, body } = await register(server, await make());
    expect([status, body['error']]).toEqual([401, 'invalid_token']);
    expect(headers.get('www-authenticate')).toMatch(/^Bearer/);
    expect(JSON.stringify(body)).not.toContain(reason);
    expect((await recorded(server, 'client.registration_refused')).at(-1)?.payload['reason']).toContain(
      reason,
    );
  });

  it('does not use up a token for what it refuses', async () => {
    const made = await initialToken(server, { maxUses: 1 });
    expect((await register(server, made.token, { ...METADATA, response_types: ['token'] })).status).toBe(400);
    expect((await register(server, made.token)).status).toBe(201);
  });

  it('keeps no token and no secret that could be read', async () => {
    const { clientId, secret, access } = await registered();
    const { rows } = await server.state.db.query(
      `select row_to_json(t)::text as row from registration_tokens t
       union all select row_to_json(r)::text from client_registrations r
       union all select payload::text from audit_events where client_id = $1`,
      [clientId],
    );
    const stored = JSON.stringify(rows);
    for (const value of [token, secret!, access]) expect(stored).not.toContain(value);
  });
});

describe('looking after the registration', () => {
  it('reads, changes and deletes what is its own', async () => {
    const { clientId, access, uri, body } = await registered();
    const read = await send(uri, { method: 'GET', token: access });
    const { client_secret: _, client_secret_expires_at: __, ...known } = body;
    expect([read.status, read.body]).toEqual([200, known]);

    const changed = await send(uri, {
      method: 'PUT',
      token: access,
      body: { ...METADATA, client_id: clientId, client_name: 'Handbook', tos_uri: 'https://app.example/tos' },
    });
    expect(changed.body).toMatchObject({ client_name: 'Handbook', tos_uri: 'https://app.example/tos' });
    const next = String(changed.body['registration_access_token']);
    expect(next).not.toBe(access);
    expect((await send(uri, { method: 'GET', token: access })).status).toBe(401);

    const back = await send(uri, { method: 'PUT', token: next, body: { ...METADATA, client_id: clientId } });
    expect(back.body).not.toHaveProperty('tos_uri');
    const last = String(back.body['registration_access_token']);
    expect((await send(uri, { method: 'DELETE', token: last })).status).toBe(204);
    expect((await send(uri, { method: 'GET', token: last })).status).toBe(401);
    expect(await server.subjects.clients.find(clientId)).toBeUndefined();
    const events = await server.state.db.query<{ type: string }>(
      `select type from audit_events where client_id = $1 order by at, id`,
      [clientId],
    );
    expect(events.rows.map(({ type }) => type)).toEqual([
      'client.registered',
      'client.registration_read',
      'client.updated',
      'client.registration_access_refused',
      'client.updated',
      'client.deleted',
      'client.registration_access_refused',
    ]);
  });

  it('makes one change of ten that present the same token at once', async () => {
    const { clientId, access, uri } = await registered();
    const body = { ...METADATA, client_id: clientId };
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => send(uri, { method: 'PUT', token: access, body })),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(9);
  });

  it('starts over with people where it sends them elsewhere', async () => {
    const { clientId, secret, access, uri } = await registered();
    const application = { clientId, secret, redirectUri: METADATA.redirect_uris[0]! };
    const person = createPerson(server.issuer);
    const credentials = await registerPerson(server);
    const ask = () => authorizationRequest(server, application, { scope: 'openid offline_access' });
    const request = ask();
    const consent = await authorize(person, request, credentials);
    const visited = await person.submit(consent, { decision: 'allow' }, '/consent');
    const tokens = await tokensOf(
      await redeem(server, application, { code: codeOf(visited), verifier: request.verifier }),
    );
    expect((await authorize(person, ask())).isAway).toBe(true);

    const changed = await send(uri, {
      method: 'PUT',
      token: access,
      body: { ...METADATA, client_id: clientId, client_name: 'Handbook' },
    });
    expect((await authorize(person, ask())).isAway).toBe(true);
    const elsewhere = [...METADATA.redirect_uris, 'https://new.corp.example/callback'];
    await startOfSecond();
    await send(uri, {
      method: 'PUT',
      token: String(changed.body['registration_access_token']),
      body: { ...METADATA, client_id: clientId, redirect_uris: elsewhere },
    });
    await server.subjects.revocations.refresh();
    const newRequest = ask();
    const again = await authorize(person, newRequest);
    expect(again.html).toContain('Nobody here has checked this app');
    const allowed = await person.submit(again, { decision: 'allow' }, '/consent');
    await tokensOf(
      await redeem(server, application, { code: codeOf(allowed), verifier: newRequest.verifier }),
    );
    const refreshed = await tokenRequest(server, application, {
      grant_type: 'refresh_token',
      refresh_token: tokens.refresh_token ?? '',
    });
    expect(refreshed.status).toBe(400);
  });

  it('gives a secret to a client that changes to one', async () => {
    const { clientId, access, uri } = await registered({
      ...METADATA,
      token_endpoint_auth_method: 'private_key_jwt',
      jwks_uri: 'https://app.example/keys',
    });
    const { body } = await send(uri, {
      method: 'PUT',
      token: access,
      body: { ...METADATA, client_id: clientId },
    });
    expect(body).toMatchObject({ client_secret: expect.any(String), client_secret_expires_at: 0 });
    expect(body).not.toHaveProperty('jwks_uri');
  });

  it.each<[string, (client: { clientId: string; secret: string | undefined }) => unknown, string]>([
    ['a number', () => 7, 'invalid_request'],
    ['a text', () => '"text"', 'invalid_request'],
    ['nothing', () => 'null', 'invalid_request'],
    ['a list', () => [], 'invalid_request'],
    ['no client_id', () => METADATA, 'invalid_request'],
    ['another one', () => ({ ...METADATA, client_id: 'another' }), 'invalid_request'],
    [
      'a wrong secret',
      ({ clientId }) => ({ ...METADATA, client_id: clientId, client_secret: 'guess' }),
      'invalid_request',
    ],
    [
      'a registration token',
      ({ clientId }) => ({ ...METADATA, client_id: clientId, registration_access_token: 'a' }),
      'invalid_request',
    ],
    [
      'a host beyond the policy',
      ({ clientId }) => ({ ...METADATA, client_id: clientId, redirect_uris: ['https://evil.example/'] }),
      'invalid_redirect_uri',
    ],
  ])('refuses a change with %s, and nothing is changed', async (_, bodyOf, error) => {
    const client = await registered();
    const answer = await send(client.uri, { method: 'PUT', token: client.access, body: bodyOf(client) });
    expect([answer.status, answer.body['error']]).toEqual([400, error]);
    expect((await send(client.uri, { method: 'GET', token: client.access })).status).toBe(200);
  });

  it('takes the right secret', async () => {
    const { clientId, secret, access, uri } = await registered();
    const body = { ...METADATA, client_id: clientId, client_secret: secret };
    expect((await send(uri, { method: 'PUT', token: access, body })).status).toBe(200);
  });

  it.each(['GET', 'PUT', 'DELETE'])('%s is closed to every other token', async (method) => {
    const [one, other] = [await registered(), await registered()];
    const { client } = await server.subjects.clients.create({ name: 'Backup' }, OPERATOR);
    const ofOperator = `${server.issuer}/oauth/register/${client.clientId}`;
    const body = method === 'PUT' ? { ...METADATA, client_id: one.clientId } : undefined;
    for (const [uri, presented] of [
      [one.uri, other.access],
      [one.uri, token],
      [one.uri, undefined],
      [ofOperator, one.access],
      [`${server.issuer}/oauth/register/none`, one.access],
    ] as const) {
      const answer = await send(uri, { method, token: presented, body });
      expect([answer.status, answer.body['error']]).toEqual([401, 'invalid_token']);
    }
    expect((await send(one.uri, { method: 'GET', token: one.access })).status).toBe(200);
  });
});

it('stays third-party, whatever an operator changes', async () => {
  const { clientId } = await registered();
  for (const changes of [{ firstParty: true }, { consent: 'never' as const }, { requirePkce: false }]) {
    await expect(server.subjects.clients.update(clientId, changes, OPERATOR)).rejects.toMatchObject({
      code: 'invalid_client',
    });
  }
  expect((await server.subjects.clients.update(clientId, { consent: 'always' }, OPERATOR)).consent).toBe(
    'always',
  );
});

it('deletes clients that nobody uses, and no others', async () => {
  const machine = { client_name: 'Machine', grant_types: ['client_credentials'] };
  const [used, unused] = [await registered(machine), await registered(machine)];
  const { client: operators, secret } = await server.subjects.clients.create({ name: 'Old' }, OPERATOR);
  clock.advanceSeconds(29 * DAY_SECONDS);
  for (const application of [used, { clientId: operators.clientId, secret }]) {
    const answer = await tokenRequest(
      server,
      { ...application, redirectUri: '' },
      { grant_type: 'client_credentials' },
    );
    expect(answer.status).toBe(200);
  }
  await server.subjects.clientUse.save();
  clock.advanceSeconds(2 * DAY_SECONDS);
  expect(await server.subjects.registration.removeUnused(30 * DAY_SECONDS)).toBeGreaterThan(0);
  const { clients } = server.subjects;
  expect(await clients.find(used.clientId)).toBeDefined();
  expect(await clients.find(operators.clientId)).toBeDefined();
  expect(await clients.find(unused.clientId)).toBeUndefined();
  const deleted = await recorded(server, 'client.deleted');
  expect(deleted.find(({ client_id: id }) => id === unused.clientId)?.payload).toEqual({
    name: 'Machine',
    reason: 'unused',
  });
});

it('refuses policies that mean nothing', async () => {
  for (const policy of [
    { ...POLICY, redirectHosts: [] },
    { ...POLICY, redirectHosts: ['https://app.example'] },
    { ...POLICY, grantTypes: [] },
  ]) {
    await expect(initialToken(server, { policy })).rejects.toMatchObject({
      code: 'invalid_registration_token',
    });
  }
});
