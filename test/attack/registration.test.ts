/** Whatever is sent to `/oauth/register` gets an answer of the standard, and a reason in the log where it is refused. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { machineToken, refusalOf, registerApi } from '../support/apis.ts';
import { OPERATOR } from '../support/application.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import { initialToken, METADATA, recorded, register, send } from '../support/registration.ts';

const KNOWN = [
  ...Object.keys(METADATA),
  'post_logout_redirect_uris',
  'response_types',
  'application_type',
  'client_uri',
  'scope',
  'contacts',
  'jwks',
  'jwks_uri',
  'default_max_age',
  'default_acr_values',
  'id_token_signed_response_alg',
  'require_signed_request_object',
  'request_object_signing_alg',
  'userinfo_signed_response_alg',
  'id_token_encrypted_response_alg',
  'tls_client_certificate_bound_access_tokens',
  'subject_type',
  'sector_identifier_uri',
  'initiate_login_uri',
  'backchannel_logout_uri',
  'frontchannel_logout_uri',
  'software_statement',
  'client_id',
  'client_secret',
  '__proto__',
  'constructor',
];
const STRINGS = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    '\u0000',
    '\ud800',
    'https://app.example/callback',
    'https://app.example/\u0000',
    'http://127.0.0.1/cb',
    'com.example.app:/cb',
    'none',
    'private_key_jwt',
    'openid',
    'authorization_code',
  ),
);
const VALUES = fc.oneof(
  STRINGS,
  fc.array(STRINGS, { maxLength: 5 }),
  fc.jsonValue({ maxDepth: 3 }),
  fc.constant({ keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'abc', kid: 'a\u0000\ud800' }] }),
  fc.constant(METADATA.redirect_uris),
);

let server: TestServer;
let token: string;
beforeAll(async () => {
  server = await startGatehouse({
    env: { GATEHOUSE_REGISTRATION_ENABLED: 'true', GATEHOUSE_REGISTRATION_ADDRESS_FREE_ATTEMPTS: '10000' },
  });
  ({ token } = await initialToken(server));
}, 60_000);
afterAll(() => server.stop());

it('answers whatever metadata it is sent', async () => {
  const metadata = fc
    .dictionary(fc.constantFrom(...KNOWN), VALUES, { maxKeys: 6 })
    .chain((some) => fc.constantFrom(some, { ...METADATA, ...some }));
  let refusals = 0;
  await fc.assert(
    fc.asyncProperty(metadata, async (body) => {
      const { status, body: answer } = await register(server, token, body);
      expect([201, 400]).toContain(status);
      if (status === 400) {
        refusals += 1;
        expect([
          'invalid_redirect_uri',
          'invalid_client_metadata',
          'unapproved_software_statement',
        ]).toContain(answer['error']);
      }
    }),
    { numRuns: 150 },
  );
  expect(await recorded(server, 'client.registration_refused')).toHaveLength(refusals);
}, 60_000);

it('answers whatever a client says of itself anew', async () => {
  const { body: client } = await register(server, token);
  const uri = String(client['registration_client_uri']);
  let access = String(client['registration_access_token']);
  const own = { ...METADATA, client_id: client['client_id'] };
  const bodies = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc
      .dictionary(fc.constantFrom(...KNOWN), VALUES, { maxKeys: 6 })
      .chain((some) => fc.constantFrom({ ...some, ...own }, { ...own, ...some })),
  );
  await fc.assert(
    fc.asyncProperty(bodies, async (body) => {
      const answer = await send(uri, { method: 'PUT', token: access, body: JSON.stringify(body) });
      expect([200, 400]).toContain(answer.status);
      if (answer.status === 200) access = String(answer.body['registration_access_token']);
    }),
    { numRuns: 150 },
  );
}, 60_000);

it('answers whatever token it is shown', async () => {
  const headers = fc.oneof(
    fc.base64String().map((text) => `Bearer ${text}`),
    fc.constantFrom(
      'Bearer',
      'Bearer  ',
      'Basic YTpi',
      `Bearer ${'a'.repeat(5000)}`,
      `bearer ${'='.repeat(9)}`,
    ),
  );
  await fc.assert(
    fc.asyncProperty(headers, fc.constantFrom('', '/none', '/%00', '/a/b'), async (authorization, path) => {
      const response = await fetch(`${server.issuer}/oauth/register${path}`, {
        method: path === '' ? 'POST' : 'PUT',
        headers: { authorization, 'content-type': 'application/json' },
        body: JSON.stringify(METADATA),
      });
      expect([401, 404]).toContain(response.status);
    }),
    { numRuns: 60 },
  );
}, 60_000);

it('takes no cookie, no query and no form for a token', async () => {
  const url = `${server.issuer}/oauth/register`;
  for (const [target, init] of [
    [`${url}?access_token=${token}`, {}],
    [url, { headers: { cookie: `access_token=${token}` } }],
  ] as const) {
    const response = await fetch(target, {
      method: 'POST',
      body: JSON.stringify(METADATA),
      ...init,
      headers: { 'content-type': 'application/json', ...('headers' in init ? init.headers : {}) },
    });
    expect(response.status).toBe(401);
  }
  expect((await send(url, { body: { ...METADATA, access_token: token } })).status).toBe(401);
});

it.each(['jwt', 'opaque'] as const)(
  'a machine that registered itself gets no %s token at an API that is not open to such clients',
  async (accessTokenFormat) => {
    const api = await registerApi(server, { accessTokenFormat, signingAlg: 'EdDSA' });
    const { body } = await register(server, token, {
      client_name: 'Robot',
      grant_types: ['client_credentials'],
      token_endpoint_auth_method: 'client_secret_basic',
    });
    const clientId = String(body['client_id']);
    await server.subjects.apis.permitClient(
      { clientId, api: api.identifier, permissions: ['read'] },
      OPERATOR,
    );
    const machine = { clientId, secret: String(body['client_secret']), redirectUri: '' };
    const response = await machineToken(server, machine, { resource: api.identifier });
    expect(await refusalOf(response)).toEqual([400, 'invalid_target']);
  },
);

it('a client of people’s browsers does not become one of their machines, which anything there can be', async () => {
  const browser = { ...METADATA, token_endpoint_auth_method: 'none' };
  const { body } = await register(server, token, browser);
  const answer = await send(String(body['registration_client_uri']), {
    method: 'PUT',
    token: String(body['registration_access_token']),
    body: { ...browser, client_id: body['client_id'], redirect_uris: ['http://127.0.0.1/callback'] },
  });
  expect([answer.status, answer.body['error']]).toEqual([400, 'invalid_client_metadata']);
  expect(await server.subjects.clients.get(String(body['client_id']))).toMatchObject({
    kind: 'browser',
    redirectUris: METADATA.redirect_uris,
  });
});
