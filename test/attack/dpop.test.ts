/** Proofs of possession that prove nothing (RFC 9449 §4.3, §11). */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash, createHmac } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT, type CryptoKey, type JWK } from 'jose';

import { randomToken } from '../../src/platform/ids.ts';
import {
  authorizationRequest,
  codeOf,
  introspect,
  redeem,
  registerApplication,
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
let openApplication: Application;
let person: Person;
let key: Key;

interface Key {
  privateKey: CryptoKey;
  jwk: JWK;
  privateJwk: JWK;
}

beforeAll(async () => {
  server = await startGatehouse();
  ({ application, person } = await signedIn(server));
  openApplication = await registerApplication(server, { kind: 'browser' });
  key = await makeKey();
});
afterAll(() => server.stop());

async function makeKey(): Promise<Key> {
  const pair = await generateKeyPair('ES256', { extractable: true });
  return {
    privateKey: pair.privateKey,
    jwk: await exportJWK(pair.publicKey),
    privateJwk: await exportJWK(pair.privateKey),
  };
}

const athOf = (token: string): string => createHash('sha256').update(token).digest('base64url');
const now = (): number => Math.floor(Date.now() / 1000);

interface ProofOptions {
  claims?: Record<string, unknown>;
  header?: Record<string, unknown>;
  by?: CryptoKey;
}

/** A good proof for the token endpoint, but for what is given. `undefined` takes a claim away. */
function proof({ claims = {}, header = {}, by = key.privateKey }: ProofOptions = {}): Promise<string> {
  const all = { htm: 'POST', htu: `${server.issuer}/oauth/token`, jti: randomToken(), iat: now(), ...claims };
  return new SignJWT(strip(all))
    .setProtectedHeader(strip({ alg: 'ES256', typ: 'dpop+jwt', jwk: key.jwk, ...header }) as { alg: string })
    .sign(by);
}

function strip(object: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}

async function newCode(client = application): Promise<{ code: string; verifier: string }> {
  const request = authorizationRequest(server, client);
  return { code: codeOf(await person.open(request.url)), verifier: request.verifier };
}

function exchange(
  { code, verifier }: { code: string; verifier: string },
  dpop: string,
  client = application,
): Promise<Response> {
  return tokenRequest(
    server,
    client,
    {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: client.redirectUri,
    },
    { headers: { dpop } },
  );
}

async function boundTokens(client = application): Promise<Required<Tokens>> {
  const response = await exchange(await newCode(client), await proof(), client);
  const tokens = (await response.json()) as Required<Tokens>;
  expect([response.status, tokens.token_type]).toEqual([200, 'DPoP']);
  return tokens;
}

function userinfo(token: string, dpop: string | undefined, scheme = 'DPoP', init = {}): Promise<Response> {
  return fetch(`${server.issuer}/oauth/userinfo`, {
    headers: { authorization: `${scheme} ${token}`, ...(dpop === undefined ? {} : { dpop }) },
    ...init,
  });
}

describe('at the token endpoint', () => {
  const WRONG_TIMES = new Set(['that is old', 'from the future', 'with a time beyond every calendar']);
  const rsa = generateKeyPair('RS256', { modulusLength: 2048, extractable: true });

  it.each<[string, () => Promise<string> | string]>([
    ['for another method', () => proof({ claims: { htm: 'GET' } })],
    ['for a method in small letters', () => proof({ claims: { htm: 'post' } })],
    ['for no method', () => proof({ claims: { htm: undefined } })],
    ['for another endpoint', () => proof({ claims: { htu: `${server.issuer}/oauth/userinfo` } })],
    ['for another host', () => proof({ claims: { htu: 'https://evil.example/oauth/token' } })],
    [
      'for a host that only begins alike',
      () => proof({ claims: { htu: `${server.issuer}.evil.example/oauth/token` } }),
    ],
    ['for no address', () => proof({ claims: { htu: undefined } })],
    ['for an address that is none', () => proof({ claims: { htu: ':' } })],
    ['that is old', () => proof({ claims: { iat: now() - 3600 } })],
    ['from the future', () => proof({ claims: { iat: now() + 3600 } })],
    ['without a time', () => proof({ claims: { iat: undefined } })],
    ['with a time beyond every calendar', () => proof({ claims: { iat: 1e20 } })],
    ['without a jti', () => proof({ claims: { jti: undefined } })],
    ['with a jti that is a number', () => proof({ claims: { jti: 7 } })],
    ['of another type', () => proof({ header: { typ: 'JWT' } })],
    ['without a type', () => proof({ header: { typ: undefined } })],
    ['without a key', () => proof({ header: { jwk: undefined } })],
    ['with the private key', () => proof({ header: { jwk: key.privateJwk } })],
    ['with a shared key', () => proof({ header: { jwk: { kty: 'oct', k: 'AAAA' } } })],
    [
      'with a key that is none',
      () => proof({ header: { jwk: { kty: 'EC', crv: 'P-256', x: 'A', y: 'A' } } }),
    ],
    ['with a key that is a word', () => proof({ header: { jwk: 'key' } })],
    ['signed by another key', async () => proof({ by: (await makeKey()).privateKey })],
    [
      'signed under another algorithm',
      async () => {
        const { privateKey } = await rsa;
        return proof({ header: { alg: 'RS256' }, by: privateKey });
      },
    ],
    [
      'that is unsigned',
      () =>
        new UnsecuredJWT({ htm: 'POST', htu: `${server.issuer}/oauth/token`, jti: 'x', iat: now() }).encode(),
    ],
    [
      'that is unsigned and has a key',
      () => {
        const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
        const claims = { htm: 'POST', htu: `${server.issuer}/oauth/token`, jti: randomToken(), iat: now() };
        return `${part({ alg: 'none', typ: 'dpop+jwt', jwk: key.jwk })}.${part(claims)}.`;
      },
    ],
    [
      'signed with the public key as a secret',
      () => {
        const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
        const claims = { htm: 'POST', htu: `${server.issuer}/oauth/token`, jti: randomToken(), iat: now() };
        const text = `${part({ alg: 'HS256', typ: 'dpop+jwt', jwk: key.jwk })}.${part(claims)}`;
        return `${text}.${createHmac('sha256', JSON.stringify(key.jwk)).update(text).digest('base64url')}`;
      },
    ],
    ['that is garbage', () => 'garbage'],
    ['of which there are two', async () => `${await proof()}, ${await proof()}`],
  ])('refuses a proof %s, and the code stays good', async (name, make) => {
    const code = await newCode();
    const refused = await exchange(code, await make());
    const body = (await refused.json()) as { error: string };
    // A wrong time may be a wrong clock, which a nonce makes up for (RFC 9449 §8).
    const error = WRONG_TIMES.has(name) ? 'use_dpop_nonce' : 'invalid_dpop_proof';
    expect([refused.status, body.error]).toEqual([400, error]);
    expect(await recordedOf(server, refused)).toMatchObject([
      { type: 'token.refused', payload: { error, reason: expect.any(String) } },
    ]);
    expect((await redeem(server, application, code)).status).toBe(200);
  });

  it('takes a proof once', async () => {
    const dpop = await proof();
    expect((await exchange(await newCode(), dpop)).status).toBe(200);
    const code = await newCode();
    const again = await exchange(code, dpop);
    expect(again.status).toBe(400);
    expect(await again.json()).toMatchObject({ error: 'invalid_grant' });
    expect(await recordedOf(server, again)).toMatchObject([
      { type: 'token.refused', payload: { reason: 'DPoP proof JWT Replay detected' } },
    ]);
    // Nothing was spent for it.
    expect((await exchange(code, await proof())).status).toBe(200);
  });

  it('binds the code to the key that was announced with the request (RFC 9449 §10)', async () => {
    const jkt = createHash('sha256')
      .update(JSON.stringify({ crv: key.jwk.crv, kty: key.jwk.kty, x: key.jwk.x, y: key.jwk.y }))
      .digest('base64url');
    const other = await makeKey();
    const request = authorizationRequest(server, application, { dpop_jkt: jkt });
    const code = { code: codeOf(await person.open(request.url)), verifier: request.verifier };
    const theirs = await exchange(code, await proof({ header: { jwk: other.jwk }, by: other.privateKey }));
    expect(theirs.status).toBe(400);
    expect(await recordedOf(server, theirs)).toContainEqual(
      expect.objectContaining({
        type: 'token.refused',
        payload: expect.objectContaining({ reason: expect.stringContaining('dpop_jkt') }),
      }),
    );
    const without = await redeem(server, application, code);
    expect([without.status, await without.json()]).toMatchObject([400, { error: 'invalid_grant' }]);
    // Whoever holds the key has lost nothing.
    expect((await exchange(code, await proof())).status).toBe(200);
  });

  it('gives a client that must prove possession nothing without a proof', async () => {
    const strict = await registerApplication(server, { dpopBoundAccessTokens: true });
    const refused = await redeem(server, strict, await newCode(strict));
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ error: 'invalid_grant' });
  });

  it("refreshes a public client's bound token with the same key only", async () => {
    const tokens = await boundTokens(openApplication);
    const other = await makeKey();
    const refreshBy = (dpop: string | undefined): Promise<Response> =>
      tokenRequest(
        server,
        openApplication,
        { grant_type: 'refresh_token', refresh_token: tokens.refresh_token },
        dpop === undefined ? {} : { headers: { dpop } },
      );
    expect((await refreshBy(undefined)).status).toBe(400);
    expect((await refreshBy(await proof({ header: { jwk: other.jwk }, by: other.privateKey }))).status).toBe(
      400,
    );
    expect((await refreshBy(await proof())).status).toBe(200);
  });
});

describe('at userinfo', () => {
  const at = (token: string, { claims = {}, ...rest }: ProofOptions = {}): Promise<string> =>
    proof({
      claims: { htm: 'GET', htu: `${server.issuer}/oauth/userinfo`, ath: athOf(token), ...claims },
      ...rest,
    });

  it('takes a bound token with its proof', async () => {
    const { access_token: token } = await boundTokens();
    expect((await userinfo(token, await at(token))).status).toBe(200);
  });

  it.each<[string, (token: string) => Promise<Response>]>([
    ['as a bearer token', (token) => userinfo(token, undefined, 'Bearer')],
    ['as a bearer token beside a proof', async (token) => userinfo(token, await at(token), 'Bearer')],
    ['without a proof', (token) => userinfo(token, undefined)],
    [
      'with the hash of another token',
      async (token) => userinfo(token, await at(token, { claims: { ath: athOf('x') } })),
    ],
    [
      'without the hash of the token',
      async (token) => userinfo(token, await at(token, { claims: { ath: undefined } })),
    ],
    [
      'with a proof for another method',
      async (token) => userinfo(token, await at(token, { claims: { htm: 'POST' } })),
    ],
    [
      'with a proof for another endpoint',
      async (token) => userinfo(token, await at(token, { claims: { htu: `${server.issuer}/oauth/token` } })),
    ],
    [
      'with a proof by another key',
      async (token) => {
        const other = await makeKey();
        return userinfo(token, await at(token, { header: { jwk: other.jwk }, by: other.privateKey }));
      },
    ],
  ])('refuses a bound token %s', async (_name, ask) => {
    const { access_token: token } = await boundTokens();
    const response = await ask(token);
    expect([400, 401]).toContain(response.status);
    expect(await response.text()).not.toContain('"sub"');
    expect(await recordedOf(server, response)).toMatchObject([{ type: 'userinfo.refused' }]);
  });

  it('takes a proof once', async () => {
    const { access_token: token } = await boundTokens();
    const dpop = await at(token);
    expect((await userinfo(token, dpop)).status).toBe(200);
    expect((await userinfo(token, dpop)).status).toBe(401);
  });

  it('takes no bearer token under the scheme of bound ones', async () => {
    const code = await newCode();
    const { access_token: token } = (await (await redeem(server, application, code)).json()) as Tokens;
    expect((await userinfo(token, await at(token))).status).toBe(401);
  });
});

it('tells the resource server which key a token is bound to', async () => {
  const { access_token: token } = await boundTokens();
  expect(await introspect(server, application, token)).toMatchObject({
    token_type: 'DPoP',
    cnf: { jkt: expect.any(String) },
  });
});
