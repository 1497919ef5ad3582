/**
 * A client under `profile: fapi2`, as openid-client runs it, and beside it every rule of FAPI 2.0 broken on its own. The
 * registration's rules are in test/unit/clients/security-profile.test.ts.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt, decodeProtectedHeader, SignJWT } from 'jose';
import * as openid from 'openid-client';

import type { NewClient } from '../../../src/clients/service.ts';
import { randomToken } from '../../../src/platform/ids.ts';
import { registerApi, registerRole } from '../../support/apis.ts';
import {
  authorize,
  OPERATOR,
  registerApplication,
  registerPerson,
  type Application,
} from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person } from '../../support/person.ts';
import { recordedOf } from '../../support/recorded.ts';
import { generateKey, requestOf, type OwnKey } from '../../support/relying-party.ts';

let server: TestServer;
/** The same deployment, whose codes live longer. */
let slow: TestServer;
let person: Person;
let credentials: Awaited<ReturnType<typeof registerPerson>>;
let key: OwnKey;
let rsa: OwnKey;

beforeAll(async () => {
  server = await startGatehouse();
  slow = await startGatehouse({ sharing: server, env: { GATEHOUSE_TTL_AUTHORIZATION_CODE_SECONDS: '600' } });
  key = await generateKey('ES256');
  rsa = await generateKey('RS256');
  credentials = await registerPerson(server);
  person = createPerson(server.issuer);
});
afterAll(async () => {
  await slow.stop();
  await server.stop();
});

interface Party {
  application: Application;
  config: openid.Configuration;
  options: openid.DPoPOptions;
}

async function register(input: Partial<NewClient> = {}): Promise<Party> {
  const application = await registerApplication(server, {
    authMethod: 'private_key_jwt',
    jwks: { keys: [key.jwk, rsa.jwk] },
    profile: 'fapi2',
    ...input,
  });
  const config = await openid.discovery(
    new URL(server.issuer),
    application.clientId,
    {
      id_token_signed_response_alg: 'ES256',
      authorization_signed_response_alg: 'ES256',
    },
    openid.PrivateKeyJwt(
      { key: key.privateKey, kid: key.jwk.kid },
      // As the library does by itself where it knows that it speaks FAPI.
      { [openid.modifyAssertion]: (_header, payload) => void (payload['aud'] = server.issuer) },
    ),
    { execute: [openid.allowInsecureRequests] },
  );
  const options = { DPoP: openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256')) };
  return { application, config, options };
}

const open = (url: URL): ReturnType<typeof authorize> =>
  authorize(person, { url: url.href, verifier: '', state: '', nonce: '' }, credentials);

/** From the pushed request to tokens. */
async function signIn(
  { application, config, options }: Party,
  parameters: Record<string, string> = {},
): ReturnType<typeof openid.authorizationCodeGrant> {
  const request = await requestOf({ application, config }, parameters);
  const url = await openid.buildAuthorizationUrlWithPAR(config, request.parameters, options);
  const page = await open(url);
  expect(page.url.searchParams.get('error')).toBeNull();
  return openid.authorizationCodeGrant(config, page.url, request.checks, undefined, options);
}

describe('a client under the profile', () => {
  it('signs a person in with tokens that are bound, and keeps its refresh token', async () => {
    const party = await register();
    const tokens = await signIn(party, { scope: 'openid offline_access' });
    expect(tokens.token_type).toBe('dpop');
    expect(decodeProtectedHeader(tokens.id_token!)).toMatchObject({ alg: 'ES256' });
    const { sub } = tokens.claims()!;
    // The nonces, too, are the library's affair: it is told to use one, and does.
    const claims = await openid.fetchUserInfo(party.config, tokens.access_token, sub, party.options);
    expect(claims.sub).toBe(sub);
    const refreshed = await openid.refreshTokenGrant(
      party.config,
      tokens.refresh_token!,
      undefined,
      party.options,
    );
    expect(refreshed.refresh_token ?? tokens.refresh_token).toBe(tokens.refresh_token);
    const again = await openid.refreshTokenGrant(
      party.config,
      tokens.refresh_token!,
      undefined,
      party.options,
    );
    expect(again.access_token).not.toBe(refreshed.access_token);
  });

  it('gets codes that live a minute at most, whatever the settings say', async () => {
    const before = Date.now();
    const { application, config, options } = await register();
    const request = await requestOf({ application, config });
    const url = await openid.buildAuthorizationUrlWithPAR(config, request.parameters, options);
    const elsewhere = createPerson(server.issuer, { connectTo: `http://localhost:${slow.env['PORT']}` });
    await authorize(elsewhere, { url: url.href, verifier: '', state: '', nonce: '' }, credentials);
    const { events } = await server.subjects.audit.list({
      types: ['authorization.succeeded'],
      clientId: application.clientId,
    });
    const [issued] = (events[0]!.payload as { issued: { expires_at: string }[] }).issued;
    expect(Date.parse(issued!.expires_at) - before).toBeLessThan(90_000);
  });

  it('gets no token that an API has signed by RS256', async () => {
    const api = await registerApi(server, { signingAlg: 'RS256' });
    const other = await registerApi(server, { signingAlg: 'ES256' });
    for (const { identifier } of [api, other]) {
      const role = await registerRole(server, { identifier }, ['read']);
      await server.subjects.rbac.grantRole(credentials.account.id, role, OPERATOR);
    }
    const party = await register();
    const request = await requestOf(party, { resource: api.identifier, scope: 'openid read' });
    await expect(
      openid.buildAuthorizationUrlWithPAR(party.config, request.parameters, party.options),
    ).rejects.toMatchObject({ error: 'invalid_target' });
    const good = await requestOf(party, { resource: other.identifier, scope: 'openid read' });
    await openid.buildAuthorizationUrlWithPAR(party.config, good.parameters, party.options);
  });
});

describe('what a client under the profile must not do', () => {
  let party: Party;
  beforeAll(async () => {
    party = await register();
  });
  const now = (): number => Math.floor(Date.now() / 1000);

  it.each<[string, Record<string, string>]>([
    ['plainly', {}],
    ['with one parameter beside the pushed ones', { request_uri: 'pushed', state: 'x' }],
    ['with those that it has pushed already', { request_uri: 'pushed', response_type: 'code' }],
  ])('ask %s in the browser', async (_name, given) => {
    const { application, config, options } = party;
    const { parameters } = await requestOf({ application, config });
    const url = await openid.buildAuthorizationUrlWithPAR(config, parameters, options);
    const plain = new URL(url.origin + url.pathname);
    const requestUri = url.searchParams.get('request_uri')!;
    const sent = given['request_uri'] ? { ...given, request_uri: requestUri } : parameters;
    plain.search = new URLSearchParams({ ...sent, client_id: application.clientId }).toString();
    const page = await open(plain);
    expect(page.url.searchParams.get('code')).toBeNull();
    expect(page.url.searchParams.get('error') ?? page.html).toContain('invalid_request');
  });

  /** A client assertion that is in order, but for what is given. */
  function assertion(
    claims: Record<string, unknown> = {},
    header: Record<string, unknown> = {},
    by: OwnKey = key,
  ): Promise<string> {
    const { clientId } = party.application;
    const all = {
      iss: clientId,
      sub: clientId,
      aud: server.issuer,
      jti: randomToken(),
      iat: now(),
      exp: now() + 60,
    };
    return new SignJWT({ ...all, ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: by.jwk.kid, ...header })
      .sign(by.privateKey);
  }

  async function push(
    clientAssertion: string,
    parameters: Record<string, string> = {},
    headers: Record<string, string> = {},
  ): Promise<Response> {
    const request = await requestOf(party, parameters);
    return fetch(`${server.issuer}/oauth/par`, {
      method: 'POST',
      headers,
      body: new URLSearchParams({
        ...request.parameters,
        client_id: party.application.clientId,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: clientAssertion,
      }),
    });
  }

  it.each<[string, () => Promise<string>]>([
    ['as it should be', () => assertion()],
    ['made by a clock that is ten seconds ahead', () => assertion({ iat: now() + 10, nbf: now() + 10 })],
  ])('is let in by an assertion %s', async (_name, make) => {
    expect((await push(await make())).status).toBe(201);
  });

  it.each<[string, () => Promise<string>, RegExp]>([
    ['signed by RS256', () => assertion({}, { alg: 'RS256' }, rsa), /PS256, ES256 or EdDSA/],
    ['for a list of audiences', () => assertion({ aud: [server.issuer] }), /as a string/],
    ['for the endpoint', () => assertion({ aud: `${server.issuer}/oauth/par` }), /as a string/],
    ['for the token endpoint', () => assertion({ aud: `${server.issuer}/oauth/token` }), /as a string/],
    ['from a minute ahead', () => assertion({ iat: now() + 70 }), /too far in the future/],
    ['valid from a minute ahead', () => assertion({ nbf: now() + 70 }), /not active yet/],
  ])('authenticate by an assertion %s', async (_name, make, reason) => {
    const refused = await push(await make());
    expect([refused.status, await refused.json()]).toMatchObject([401, { error: 'invalid_client' }]);
    expect(await recordedOf(server, refused)).toMatchObject([
      { type: 'par.refused', payload: { reason: expect.stringMatching(reason) } },
    ]);
  });

  it.each<[string, Record<string, string>]>([
    ['no PKCE', { code_challenge: '', code_challenge_method: '' }],
    ['plain PKCE', { code_challenge_method: 'plain' }],
    ['a redirect elsewhere', { redirect_uri: 'https://evil.example/cb' }],
  ])('push a request with %s', async (_name, parameters) => {
    const refused = await push(await assertion(), parameters);
    expect(refused.status).toBe(400);
  });

  it.each<[string, { alg?: string; iat?: number; by?: OwnKey }, string]>([
    ['by RS256', { alg: 'RS256' }, 'invalid_dpop_proof'],
    ['from a minute ahead', { iat: 70 }, 'invalid_dpop_proof'],
    ['without a nonce', {}, 'use_dpop_nonce'],
  ])('prove possession %s', async (_name, { alg = 'ES256', iat = 0 }, error) => {
    const by = alg === 'RS256' ? rsa : key;
    const { kid: _kid, use: _use, ...jwk } = by.jwk;
    const proof = await new SignJWT({
      htm: 'POST',
      htu: `${server.issuer}/oauth/par`,
      jti: randomToken(),
      iat: now() + iat,
    })
      .setProtectedHeader({ alg, typ: 'dpop+jwt', jwk })
      .sign(by.privateKey);
    const refused = await push(await assertion(), {}, { dpop: proof });
    expect([refused.status, await refused.json()]).toMatchObject([400, { error }]);
    if (error === 'use_dpop_nonce') expect(refused.headers.get('dpop-nonce')).toEqual(expect.any(String));
  });

  it('redeem a code without a proof, which stays good, or by another key than pushed it', async () => {
    const { application, config, options } = party;
    const request = await requestOf({ application, config });
    const url = await openid.buildAuthorizationUrlWithPAR(config, request.parameters, options);
    const { url: callback } = await open(url);
    const redeem = (given?: openid.DPoPOptions): ReturnType<typeof openid.authorizationCodeGrant> =>
      openid.authorizationCodeGrant(config, callback, request.checks, undefined, given);
    await expect(redeem()).rejects.toMatchObject({ error: 'invalid_grant' });
    const stranger = { DPoP: openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256')) };
    await expect(redeem(stranger)).rejects.toMatchObject({ error: 'invalid_grant' });
    expect((await redeem(options)).token_type).toBe('dpop');
  });
});

describe('message signing', () => {
  let party: Party;
  beforeAll(async () => {
    party = await register({ profile: 'fapi2_message_signing' });
    openid.useJwtResponseMode(party.config);
  });

  const signed = (parameters: Record<string, string>): Promise<URL> =>
    openid.buildAuthorizationUrlWithJAR(
      party.config,
      parameters,
      { key: key.privateKey, kid: key.jwk.kid },
      {
        [openid.modifyAssertion]: (_header, payload) => void (payload['nbf'] = Math.floor(Date.now() / 1000)),
      },
    );

  async function push(url: URL): Promise<URL> {
    const parameters = Object.fromEntries(url.searchParams);
    return openid.buildAuthorizationUrlWithPAR(party.config, parameters, party.options);
  }

  it('has requests and responses signed, both ways', async () => {
    const { parameters, checks } = await requestOf(party, { response_mode: 'jwt' });
    const page = await open(await push(await signed(parameters)));
    expect(decodeJwt(page.url.searchParams.get('response')!)).toMatchObject({ iss: server.issuer });
    expect(decodeProtectedHeader(page.url.searchParams.get('response')!)).toMatchObject({ alg: 'ES256' });
    const tokens = await openid.authorizationCodeGrant(
      party.config,
      page.url,
      checks,
      undefined,
      party.options,
    );
    const introspection = await fetch(`${server.issuer}/oauth/introspect`, {
      method: 'POST',
      headers: { accept: 'application/token-introspection+jwt' },
      body: new URLSearchParams({
        token: tokens.access_token,
        client_id: party.application.clientId,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: await new SignJWT({ jti: randomToken() })
          .setIssuer(party.application.clientId)
          .setSubject(party.application.clientId)
          .setAudience(server.issuer)
          .setIssuedAt()
          .setExpirationTime('1m')
          .setProtectedHeader({ alg: 'ES256', kid: key.jwk.kid })
          .sign(key.privateKey),
      }),
    });
    expect(decodeProtectedHeader(await introspection.text())).toMatchObject({
      alg: 'ES256',
      typ: 'token-introspection+jwt',
    });
  });

  it('takes no request that is not signed', async () => {
    const { parameters } = await requestOf(party, { response_mode: 'jwt' });
    await expect(
      openid.buildAuthorizationUrlWithPAR(party.config, parameters, party.options),
    ).rejects.toMatchObject({ error: 'invalid_request' });
  });

  const seconds = (): number => Math.floor(Date.now() / 1000);

  async function requestObject(claims: Record<string, unknown>, alg = 'ES256'): Promise<string> {
    const { parameters } = await requestOf(party, { response_mode: 'jwt' });
    const by = alg === 'RS256' ? rsa : key;
    const { clientId } = party.application;
    const own = {
      client_id: clientId,
      iss: clientId,
      aud: server.issuer,
      nbf: seconds(),
      exp: seconds() + 300,
    };
    return new SignJWT({ ...parameters, ...own, ...claims })
      .setProtectedHeader({ alg, kid: by.jwk.kid, typ: 'oauth-authz-req+jwt' })
      .sign(by.privateKey);
  }

  it.each(['query', 'form_post', undefined])('takes no request for a response by %s', async (mode) => {
    const request = await requestObject({ response_mode: mode });
    await expect(
      openid.buildAuthorizationUrlWithPAR(party.config, { request }, party.options),
    ).rejects.toMatchObject({ error: 'invalid_request' });
  });

  it.each<[string, Record<string, unknown>, string, RegExp]>([
    ['signed by RS256', {}, 'RS256', /PS256, ES256 or EdDSA/],
    ['without nbf', { nbf: undefined }, 'ES256', /exp and nbf/],
    ['from more than an hour ago', { nbf: seconds() - 3700 }, 'ES256', /an hour/],
    ['for longer than an hour', { nbf: seconds() - 600, exp: seconds() + 3300 }, 'ES256', /an hour/],
    ['from a minute ahead', { iat: seconds() + 300 }, 'ES256', /future/],
  ])('takes no request %s', async (_name, claims, alg, reason) => {
    const request = await requestObject(claims, alg);
    await expect(
      openid.buildAuthorizationUrlWithPAR(party.config, { request }, party.options),
    ).rejects.toMatchObject({ error: 'invalid_request_object' });
    const { clientId } = party.application;
    const { events } = await server.subjects.audit.list({ types: ['par.refused'], clientId });
    expect(events.map(({ payload }) => (payload as { reason: string }).reason)).toContainEqual(
      expect.stringMatching(reason),
    );
  });
});
