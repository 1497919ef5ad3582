/** Signed requests (RFC 9101), signed answers (JARM) and encrypted ones, as openid-client and jose make and read them. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { compactDecrypt, createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import * as openid from 'openid-client';

import { authorize, basicOf, registerPerson, tokenRequest, type Tokens } from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person, type Visited } from '../../support/person.ts';
import { recordedOf } from '../../support/recorded.ts';
import {
  generateKey,
  registerRelyingParty,
  requestOf,
  type Checks,
  type OwnKey,
  type RelyingParty,
} from '../../support/relying-party.ts';

let server: TestServer;
let signing: OwnKey;
let rsa: OwnKey;
let ec: OwnKey;
let x25519: OwnKey;
let person: Person;
let credentials: Awaited<ReturnType<typeof registerPerson>>;

beforeAll(async () => {
  server = await startGatehouse({ env: { GATEHOUSE_AUDIT_RECORD_INTROSPECTION: 'true' } });
  signing = await generateKey('ES256');
  rsa = await generateKey('RSA-OAEP-256', { use: 'enc' });
  ec = await generateKey('ECDH-ES+A256KW', { use: 'enc' });
  x25519 = await generateKey('ECDH-ES', { use: 'enc', crv: 'X25519' });
  credentials = await registerPerson(server);
  person = createPerson(server.issuer);
});
afterAll(() => server.stop());

const visit = (url: URL): Promise<Visited> =>
  authorize(person, { url: url.href, verifier: '', state: '', nonce: '' }, credentials);

/** From the authorization endpoint back to tokens, every check of the library included. */
async function finish(
  { config }: RelyingParty,
  url: URL,
  checks: Checks,
): ReturnType<typeof openid.authorizationCodeGrant> {
  const page = await visit(url);
  expect(page.isAway).toBe(true);
  return openid.authorizationCodeGrant(config, page.url, checks);
}

describe('a signed request', () => {
  it.each<[string, boolean]>([
    ['in the browser', false],
    ['pushed', true],
  ])('signs a person in, sent %s, and nothing outside counts', async (_where, isPushed) => {
    const party = await registerRelyingParty(server, {
      jwks: { keys: [signing.jwk] },
      requestObjectSigningAlg: 'ES256',
      requireSignedRequestObject: true,
    });
    const { parameters, checks } = await requestOf(party, { claims: '{"id_token":{"name":null}}' });
    const url = await openid.buildAuthorizationUrlWithJAR(party.config, parameters, {
      key: signing.privateKey,
      kid: signing.jwk.kid,
    });
    url.searchParams.set('scope', 'openid profile roles');
    url.searchParams.set('state', 'outside');
    url.searchParams.set('redirect_uri', 'https://evil.example/callback');
    const start = isPushed ? await openid.buildAuthorizationUrlWithPAR(party.config, url.searchParams) : url;
    const tokens = await finish(party, start, checks);
    expect(tokens.scope).toBe('openid email');
    expect(tokens.claims()).toMatchObject({ sub: credentials.account.sub, name: 'Ada' });
  });

  it.each([
    { where: 'in the browser', isPushed: false },
    { where: 'pushed', isPushed: true },
  ])('is what a client must send that has to, $where', async ({ isPushed }) => {
    const party = await registerRelyingParty(server, {
      jwks: { keys: [signing.jwk] },
      requireSignedRequestObject: true,
    });
    const { parameters } = await requestOf(party);
    if (isPushed) {
      await expect(openid.buildAuthorizationUrlWithPAR(party.config, parameters)).rejects.toMatchObject({
        error: 'invalid_request',
      });
      return;
    }
    const { url } = await visit(openid.buildAuthorizationUrl(party.config, parameters));
    expect(url.searchParams.get('error')).toBe('invalid_request');
  });
});

describe('an authorization response as a JWT', () => {
  it.each([undefined, 'ES256', 'EdDSA'] as const)('signed with %s', async (alg) => {
    const party = await registerRelyingParty(
      server,
      alg ? { authorizationSignedResponseAlg: alg } : {},
      alg ? { authorization_signed_response_alg: alg } : {},
    );
    openid.useJwtResponseMode(party.config);
    const { parameters, checks } = await requestOf(party);
    const tokens = await finish(party, openid.buildAuthorizationUrl(party.config, parameters), checks);
    expect(tokens.claims()?.sub).toBe(credentials.account.sub);
  });

  it.each<[string, (page: Visited) => string | null]>([
    ['query.jwt', ({ url }) => url.searchParams.get('response')],
    ['fragment.jwt', ({ url }) => new URLSearchParams(url.hash.slice(1)).get('response')],
    ['form_post.jwt', ({ html }) => /name="response" value="([^"]+)"/.exec(html)?.[1] ?? null],
  ])('arrives by %s, and so does an error', async (mode, responseIn) => {
    const party = await registerRelyingParty(server, {});
    const jwks = createRemoteJWKSet(new URL(party.config.serverMetadata().jwks_uri!));
    const told = async (extra: Record<string, string>): Promise<Record<string, unknown>> => {
      const { parameters } = await requestOf(party, { response_mode: mode, state: 'mine', ...extra });
      const response = responseIn(await visit(openid.buildAuthorizationUrl(party.config, parameters)));
      const { payload } = await jwtVerify(response ?? '', jwks, {
        issuer: server.issuer,
        audience: party.application.clientId,
      });
      expect(payload.exp).toBeGreaterThan(Date.now() / 1000);
      return payload;
    };
    expect(await told({})).toMatchObject({ code: expect.any(String), state: 'mine' });
    expect(await told({ scope: 'openid nonsense', prompt: 'nonsense' })).toMatchObject({
      error: 'invalid_request',
      state: 'mine',
    });
  });

  it('is encrypted to the key of the client that says so', async () => {
    const party = await registerRelyingParty(server, {
      jwks: { keys: [signing.jwk, rsa.jwk] },
      authorizationSignedResponseAlg: 'ES256',
      authorizationEncryptedResponseAlg: 'RSA-OAEP-256',
      authorizationEncryptedResponseEnc: 'A256GCM',
    });
    const { parameters } = await requestOf(party, { response_mode: 'jwt' });
    const page = await visit(openid.buildAuthorizationUrl(party.config, parameters));
    const { plaintext, protectedHeader } = await compactDecrypt(
      page.url.searchParams.get('response') ?? '',
      rsa.privateKey,
    );
    expect(protectedHeader).toMatchObject({ alg: 'RSA-OAEP-256', enc: 'A256GCM', kid: rsa.jwk.kid });
    const jwks = createRemoteJWKSet(new URL(party.config.serverMetadata().jwks_uri!));
    const { payload } = await jwtVerify(plaintext, jwks, { algorithms: ['ES256'], issuer: server.issuer });
    expect(payload['code']).toEqual(expect.any(String));
  });
});

describe('ID token and userinfo', () => {
  it.each([
    ['RSA-OAEP-256', 'A256GCM', () => rsa],
    ['ECDH-ES', 'A128CBC-HS256', () => ec],
    ['ECDH-ES+A256KW', 'A256GCM', () => ec],
    ['ECDH-ES+A256KW', 'A128GCM', () => x25519],
  ] as const)('encrypted by %s and %s', async (alg, enc, keyOf) => {
    const key = keyOf();
    const party = await registerRelyingParty(
      server,
      {
        jwks: { keys: [signing.jwk, key.jwk] },
        idTokenEncryptedResponseAlg: alg,
        idTokenEncryptedResponseEnc: enc,
        userinfoSignedResponseAlg: 'ES256',
        userinfoEncryptedResponseAlg: alg,
        userinfoEncryptedResponseEnc: enc,
      },
      { userinfo_signed_response_alg: 'ES256' },
    );
    openid.enableDecryptingResponses(party.config, [enc], {
      key: key.privateKey,
      kid: key.jwk.kid,
      ...(alg.startsWith('ECDH') ? { alg } : {}),
    });
    const { parameters, checks } = await requestOf(party);
    const tokens = await finish(party, openid.buildAuthorizationUrl(party.config, parameters), checks);
    expect(decodeProtectedHeader(tokens.id_token ?? '')).toMatchObject({ alg, enc, kid: key.jwk.kid });
    const sub = tokens.claims()?.sub ?? '';
    expect(sub).toBe(credentials.account.sub);
    expect(await recordedIdToken(party)).toMatchObject({
      kid: await signingKidOf(party),
      expires_at: expect.any(String),
    });
    expect(await openid.fetchUserInfo(party.config, tokens.access_token, sub)).toMatchObject({
      sub,
      email: credentials.email,
    });
  });

  it('userinfo signed alone, for this client', async () => {
    const party = await registerRelyingParty(
      server,
      { userinfoSignedResponseAlg: 'EdDSA' },
      { userinfo_signed_response_alg: 'EdDSA' },
    );
    const { parameters, checks } = await requestOf(party);
    const tokens = await finish(party, openid.buildAuthorizationUrl(party.config, parameters), checks);
    const sub = tokens.claims()?.sub ?? '';
    const claims = await openid.fetchUserInfo(party.config, tokens.access_token, sub);
    expect(claims).toMatchObject({ iss: server.issuer, aud: party.application.clientId, sub });
  });
});

describe('introspection as a JWT', () => {
  const introspectAs = (party: RelyingParty, token: string, accept: string): Promise<Response> =>
    fetch(`${server.issuer}/oauth/introspect`, {
      method: 'POST',
      headers: { accept, authorization: basicOf(party.application) },
      body: new URLSearchParams({ token }),
    });

  it('is signed as the client wants it, encrypted to it, and recorded as what it says', async () => {
    const party = await registerRelyingParty(server, {
      redirectUris: [],
      grantTypes: ['client_credentials'],
      scopes: [],
      firstParty: false,
      consent: 'once',
      jwks: { keys: [rsa.jwk] },
      introspectionSignedResponseAlg: 'ES256',
      introspectionEncryptedResponseAlg: 'RSA-OAEP-256',
    });
    const response = await tokenRequest(server, party.application, { grant_type: 'client_credentials' });
    const { access_token: token } = (await response.json()) as Tokens;
    const jwks = createRemoteJWKSet(new URL(party.config.serverMetadata().jwks_uri!));
    const told = async (asked: string): Promise<unknown> => {
      const answer = await introspectAs(party, asked, 'application/token-introspection+jwt');
      expect([answer.status, answer.headers.get('content-type')]).toEqual([
        200,
        expect.stringContaining('application/token-introspection+jwt'),
      ]);
      const { plaintext } = await compactDecrypt(await answer.text(), rsa.privateKey);
      const { payload } = await jwtVerify(plaintext, jwks, {
        algorithms: ['ES256'],
        typ: 'token-introspection+jwt',
      });
      const { active } = payload['token_introspection'] as { active: boolean };
      expect(await recordedOf(server, answer)).toMatchObject([
        { type: 'token.introspected', payload: { active } },
      ]);
      return payload['token_introspection'];
    };
    expect(await told(token)).toMatchObject({ active: true, client_id: party.application.clientId });
    expect(await told('nonsense')).toEqual({ active: false });
    // Whoever wants it encrypted never gets it in the clear.
    const plain = await introspectAs(party, token, 'application/json');
    expect([plain.status, await plain.json()]).toMatchObject([400, { error: 'invalid_request' }]);
  });
});

describe('what the server says about itself', () => {
  it('is what it does', async () => {
    const response = await fetch(`${server.issuer}/.well-known/openid-configuration`);
    const metadata = (await response.json()) as Record<string, unknown>;
    const encryption = ['RSA-OAEP-256', 'ECDH-ES', 'ECDH-ES+A256KW'];
    expect(metadata).toMatchObject({
      request_parameter_supported: true,
      request_uri_parameter_supported: false,
      request_object_signing_alg_values_supported: ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'],
      authorization_response_iss_parameter_supported: true,
      response_modes_supported: [
        'form_post',
        'fragment',
        'query',
        'jwt',
        'query.jwt',
        'fragment.jwt',
        'form_post.jwt',
      ],
      claims_parameter_supported: true,
      ui_locales_supported: ['en'],
      id_token_encryption_alg_values_supported: encryption,
      userinfo_encryption_alg_values_supported: encryption,
      authorization_encryption_alg_values_supported: encryption,
      introspection_encryption_alg_values_supported: encryption,
    });
    expect(Object.keys(metadata).filter((name) => name.startsWith('request_object_encryption'))).toEqual([]);
  });
});

/** What the record says of it: which key signed it, though nobody can see that in an encrypted one. */
async function recordedIdToken({ application }: RelyingParty): Promise<unknown> {
  const { rows } = await server.database.db.query<{ issued: { kind: string }[] }>(
    `select payload -> 'issued' as issued from audit_events where type = 'token.issued' and client_id = $1`,
    [application.clientId],
  );
  return rows[0]?.issued.find(({ kind }) => kind === 'id_token');
}

/** Of the one key there is for RS256, unless another is to come. */
async function signingKidOf({ config }: RelyingParty): Promise<unknown> {
  const response = await fetch(config.serverMetadata().jwks_uri!);
  const { keys } = (await response.json()) as { keys: { alg: string; kid: string }[] };
  return keys.find(({ alg }) => alg === 'RS256')?.kid;
}
