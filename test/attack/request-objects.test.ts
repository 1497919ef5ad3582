/**
 * What is presented as a signed request and is none (RFC 9101 §10): forged, meant for somebody else, made for another
 * purpose, too old, too long-lived, wrapped, or signed with what must not sign. Each is refused at both doors, with its
 * reason in the audit log.
 */
import { createHmac } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  base64url,
  CompactEncrypt,
  CompactSign,
  exportSPKI,
  importJWK,
  type JWTHeaderParameters,
  SignJWT,
  UnsecuredJWT,
  type CryptoKey,
} from 'jose';

import {
  authorizationRequest,
  basicOf,
  registerApplication,
  signedIn,
  type Application,
} from '../support/application.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import type { Person } from '../support/person.ts';
import { recordedOf } from '../support/recorded.ts';
import { generateKey, type OwnKey } from '../support/relying-party.ts';

let server: TestServer;
let application: Application;
let key: OwnKey;
let foreign: OwnKey;
let rsaSigning: OwnKey;
let rsaEncryption: OwnKey;
let person: Person;
let idToken: string;

beforeAll(async () => {
  server = await startGatehouse();
  key = await generateKey('ES256');
  foreign = await generateKey('ES256');
  rsaSigning = await generateKey('RS256');
  rsaEncryption = await generateKey('RSA-OAEP-256', { use: 'enc' });
  const tokens = await signedIn(server, {
    jwks: { keys: [key.jwk, rsaSigning.jwk, rsaEncryption.jwk] },
    idTokenEncryptedResponseAlg: 'RSA-OAEP-256',
    requireSignedRequestObject: false,
  });
  ({ application, person } = tokens);
  idToken = (await signedIn(server)).tokens.id_token ?? '';
});
afterAll(() => server.stop());

const now = (): number => Math.floor(Date.now() / 1000);

function claimsOf(changes: Record<string, unknown> = {}): Record<string, unknown> {
  const { searchParams } = new URL(authorizationRequest(server, application).url);
  return {
    ...Object.fromEntries(searchParams),
    iss: application.clientId,
    aud: server.issuer,
    iat: now(),
    nbf: now(),
    exp: now() + 60,
    ...changes,
  };
}

function sign(
  claims: Record<string, unknown>,
  {
    header = {},
    by = key.privateKey,
  }: { header?: Partial<JWTHeaderParameters>; by?: CryptoKey | Uint8Array } = {},
): Promise<string> {
  const json = JSON.stringify(claims);
  return new CompactSign(new TextEncoder().encode(json))
    .setProtectedHeader({ alg: 'ES256', kid: key.jwk.kid, typ: 'oauth-authz-req+jwt', ...header })
    .sign(by);
}

/** The parameters outside are good ones: nothing but the object is wrong. */
function ask(request: string): Promise<Response> {
  const url = new URL(authorizationRequest(server, application).url);
  url.searchParams.set('request', request);
  return person.request(url.href);
}

function push(request: string): Promise<Response> {
  return fetch(`${server.issuer}/oauth/par`, {
    method: 'POST',
    headers: { authorization: basicOf(application) },
    body: new URLSearchParams({ client_id: application.clientId, request }),
  });
}

async function expectRefused(request: string, error = 'invalid_request_object'): Promise<void> {
  const asked = await ask(request);
  const location = URL.parse(asked.headers.get('location') ?? '');
  const told = location?.searchParams.get('error') ?? (await asked.text()).match(/invalid_\w+/)?.[0];
  expect(told).toBe(error);
  expect(location?.searchParams.has('code') ?? false).toBe(false);
  expect(await recordedOf(server, asked)).toMatchObject([
    { type: 'authorization.failed', outcome: 'failure', payload: { error, reason: expect.any(String) } },
  ]);
  const pushed = await push(request);
  expect([pushed.status, await pushed.json()]).toMatchObject([400, { error }]);
  expect(await recordedOf(server, pushed)).toMatchObject([
    { type: 'par.refused', outcome: 'failure', payload: { error, reason: expect.any(String) } },
  ]);
}

it('a good one leads to a code, in the browser and pushed', async () => {
  const asked = await ask(await sign(claimsOf()));
  expect(URL.parse(asked.headers.get('location') ?? '')?.searchParams.has('code')).toBe(true);
  expect((await push(await sign(claimsOf()))).status).toBe(201);
});

describe('signed by nobody who may', () => {
  const spki = async (): Promise<Uint8Array> =>
    new TextEncoder().encode(await exportSPKI(rsaSigning.publicKey));

  it.each<[string, () => Promise<string> | string]>([
    ['not at all', () => new UnsecuredJWT(claimsOf()).encode()],
    [
      'not at all, with an algorithm spelt its own way',
      () => `${base64url.encode('{"alg":"nOnE"}')}.${base64url.encode(JSON.stringify(claimsOf()))}.`,
    ],
    ['a stranger', () => sign(claimsOf(), { by: foreign.privateKey })],
    ['a stranger who names the key', () => sign(claimsOf(), { by: foreign.privateKey, header: {} })],
    [
      'a stranger who brings the key along',
      () => sign(claimsOf(), { by: foreign.privateKey, header: { kid: foreign.jwk.kid, jwk: foreign.jwk } }),
    ],
    [
      'a stranger who says where the key is',
      () =>
        sign(claimsOf(), {
          by: foreign.privateKey,
          header: { kid: foreign.jwk.kid, jku: 'https://evil.example/jwks' },
        }),
    ],
    [
      'a key id that climbs',
      () => sign(claimsOf(), { by: foreign.privateKey, header: { kid: '../../keys' } }),
    ],
    [
      'HMAC with the public key',
      async () => sign(claimsOf(), { by: await spki(), header: { alg: 'HS256', kid: rsaSigning.jwk.kid } }),
    ],
    [
      'HMAC with the secret of the client',
      () =>
        sign(claimsOf(), {
          by: new TextEncoder().encode((application.secret ?? '').padEnd(32, '.')),
          header: { alg: 'HS256' },
        }),
    ],
    [
      'HMAC with nothing',
      () => {
        const head = base64url.encode('{"alg":"HS256"}');
        const input = `${head}.${base64url.encode(JSON.stringify(claimsOf()))}`;
        return `${input}.${createHmac('sha256', '').update(input).digest('base64url')}`;
      },
    ],
    [
      'the key that is for encryption',
      async () => {
        const jwk = { ...(await crypto.subtle.exportKey('jwk', rsaEncryption.privateKey)) };
        const { alg: _alg, key_ops: _ops, ...material } = jwk;
        const signer = (await importJWK(material as never, 'RS256')) as CryptoKey;
        return sign(claimsOf(), { by: signer, header: { alg: 'RS256', kid: rsaEncryption.jwk.kid } });
      },
    ],
    [
      'an algorithm that is not allowed',
      async () => {
        const jwk = { ...(await crypto.subtle.exportKey('jwk', rsaSigning.privateKey)) };
        const { alg: _alg, key_ops: _ops, ...material } = jwk;
        const signer = (await importJWK(material as never, 'RS512')) as CryptoKey;
        return sign(claimsOf(), { by: signer, header: { alg: 'RS512', kid: rsaSigning.jwk.kid } });
      },
    ],
    ['an ID token of ours', () => idToken],
    [
      'claims that were changed',
      async () => {
        const [head, , signature] = (await sign(claimsOf())).split('.');
        return `${head}.${base64url.encode(JSON.stringify(claimsOf({ scope: 'openid email' })))}.${signature}`;
      },
    ],
    ['a signature of zeros', async () => (await sign(claimsOf())).replace(/[^.]+$/, 'A'.repeat(86))],
  ])('%s', async (_who, make) => {
    await expectRefused(await make());
  });
});

describe('signed by the client, and yet no request for us now', () => {
  it.each<[string, Record<string, unknown>]>([
    ['of no issuer', { iss: undefined }],
    ['of another issuer', { iss: 'somebody' }],
    ['for nobody', { aud: undefined }],
    ['for somebody else', { aud: 'https://other.example' }],
    ['for our token endpoint', { aud: 'ISSUER/oauth/token' }],
    ['without an end', { exp: undefined }],
    ['with an end that is a word', { exp: 'tomorrow' }],
    ['over', { exp: -120 }],
    ['over this second', { exp: 0 }],
    ['good for two hours', { exp: 7_200 }],
    ['not yet good', { nbf: 120 }],
    ['of the future', { iat: 3_000, exp: 3_060 }],
    ['of no client', { client_id: undefined }],
    ['of another client', { client_id: 'somebody' }],
    ['about a subject', { sub: 'CLIENT' }],
    ['with something that has no text', { max_age: { toString: null } }],
    ['with a request inside', { request: 'eyJhbGciOiJub25lIn0.e30.' }],
    ['with a place of a request inside', { request_uri: 'https://evil.example/request' }],
    ['with a list of clients', { client_id: ['CLIENT', 'somebody'] }],
  ])('%s', async (_what, changes) => {
    const claims = claimsOf(changes);
    for (const name of ['exp', 'nbf', 'iat']) {
      if (typeof changes[name] === 'number') claims[name] = now() + changes[name];
    }
    const text = JSON.stringify(claims)
      .replaceAll('ISSUER', server.issuer)
      .replaceAll('CLIENT', application.clientId);
    const isDuplicate = Array.isArray(changes['client_id']);
    await expectRefused(
      await sign(JSON.parse(text) as Record<string, unknown>),
      isDuplicate ? 'invalid_request' : undefined,
    );
  });

  it.each<[string, Partial<JWTHeaderParameters>]>([
    ['of the type of an access token', { typ: 'at+jwt' }],
    ['of the type of a proof', { typ: 'dpop+jwt' }],
    ['of the type of a logout token', { typ: 'logout+jwt' }],
    ['of the type of a client assertion', { typ: 'client-authentication+jwt' }],
    ['of a type that is a number', { typ: 7 as never }],
  ])('%s', async (_what, header) => {
    await expectRefused(await sign(claimsOf(), { header }));
  });

  it('a client assertion', async () => {
    const assertion = await new SignJWT({ jti: 'once' })
      .setProtectedHeader({ alg: 'ES256', kid: key.jwk.kid, typ: 'JWT' })
      .setIssuer(application.clientId)
      .setSubject(application.clientId)
      .setAudience(server.issuer)
      .setIssuedAt()
      .setExpirationTime('1 minute')
      .sign(key.privateKey);
    await expectRefused(assertion);
  });

  it('encrypted to a key of the client, for none of ours is for that', async () => {
    const nested = await new CompactEncrypt(new TextEncoder().encode(await sign(claimsOf())))
      .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM', cty: 'oauth-authz-req+jwt' })
      .encrypt(rsaEncryption.publicKey);
    await expectRefused(nested);
  });
});

it('a client that named its algorithm has no other', async () => {
  const strict = await registerApplication(server, {
    jwks: { keys: [key.jwk, rsaSigning.jwk] },
    requestObjectSigningAlg: 'RS256',
  });
  const { searchParams } = new URL(authorizationRequest(server, strict).url);
  const claims = {
    ...Object.fromEntries(searchParams),
    iss: strict.clientId,
    aud: server.issuer,
    exp: now() + 60,
  };
  const answerTo = async (request: string): Promise<string | undefined> => {
    const url = `${server.issuer}/oauth/authorize?${new URLSearchParams({ client_id: strict.clientId, request }).toString()}`;
    const response = await person.request(url);
    const location = URL.parse(response.headers.get('location') ?? '');
    return (
      location?.searchParams.get('error') ?? (await response.text()).match(/invalid_request_object/)?.[0]
    );
  };
  expect(await answerTo(await sign(claims))).toBe('invalid_request_object');
  const right = { header: { alg: 'RS256', kid: rsaSigning.jwk.kid }, by: rsaSigning.privateKey };
  expect(await answerTo(await sign(claims, right))).toBeUndefined();
});

it('a client without keys can sign nothing', async () => {
  const keyless = await registerApplication(server);
  const url = new URL(authorizationRequest(server, keyless).url);
  const claims = { ...claimsOf(), iss: keyless.clientId, client_id: keyless.clientId };
  url.searchParams.set('request', await sign(claims));
  const response = await person.request(url.href);
  expect(URL.parse(response.headers.get('location') ?? '')?.searchParams.get('error')).toBe(
    'invalid_request_object',
  );
});

it('a place where a request might be is not asked for it', async () => {
  const url = new URL(
    authorizationRequest(server, application, { request_uri: `${server.issuer}/jwks` }).url,
  );
  const response = await person.request(url.href);
  expect(URL.parse(response.headers.get('location') ?? '')?.searchParams.get('error')).toBe(
    'request_uri_not_supported',
  );
});
