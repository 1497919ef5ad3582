/** Nonces of DPoP proofs (RFC 9449 §8): asked for, good on every process, and good for a while only. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { calculateJwkThumbprint, SignJWT } from 'jose';
import { createHash, hkdfSync, randomBytes } from 'node:crypto';
import * as oauth from 'oauth4webapi';
import * as openid from 'openid-client';

import { randomToken } from '../../src/platform/ids.ts';
import {
  authorizationRequest,
  codeOf,
  introspect,
  registerApplication,
  signedIn,
  tokenRequest,
  type Application,
  type Tokens,
} from '../support/application.ts';
import { proofKey, type ProofKey } from '../support/dpop.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import type { Person } from '../support/person.ts';
import { recordedOf } from '../support/recorded.ts';

let server: TestServer;
/** Another process of the same deployment, which asks everybody for nonces. */
let strict: TestServer;
let person: Person;
let application: Application;
let key: ProofKey;

beforeAll(async () => {
  server = await startGatehouse();
  strict = await startGatehouse({ sharing: server, env: { GATEHOUSE_DPOP_REQUIRE_NONCE: 'true' } });
  ({ person } = await signedIn(server));
  application = await registerApplication(server, { requireDpopNonce: true, dpopBoundAccessTokens: true });
  key = await proofKey();
});
afterAll(async () => {
  await strict.stop();
  await server.stop();
});

/** A nonce as a process makes it at a step of a minute, from a secret key of its own. */
function nonceOf(secret: Uint8Array, stepsFromNow: number): string {
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 60_000) + stepsFromNow));
  return Buffer.from(hkdfSync('sha256', secret, step, 'DPoP', 32)).toString('base64url');
}

const own = (): Uint8Array => server.state.sealer.deriveKey('dpop nonces');

interface ProofClaims {
  nonce?: string | undefined;
  endpoint?: 'token' | 'userinfo';
  accessToken?: string;
  iat?: number;
}

function proof({
  nonce,
  endpoint = 'token',
  accessToken,
  iat = Math.floor(Date.now() / 1000),
}: ProofClaims = {}) {
  return new SignJWT({
    htm: endpoint === 'token' ? 'POST' : 'GET',
    htu: `${server.issuer}/oauth/${endpoint}`,
    jti: randomToken(),
    iat,
    ...(nonce === undefined ? {} : { nonce }),
    ...(accessToken === undefined
      ? {}
      : { ath: createHash('sha256').update(accessToken).digest('base64url') }),
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: key.jwk })
    .sign(key.privateKey);
}

async function newCode(): Promise<{ code: string; verifier: string }> {
  const request = authorizationRequest(server, application);
  return { code: codeOf(await person.open(request.url)), verifier: request.verifier };
}

const redeem = (
  { code, verifier }: { code: string; verifier: string },
  dpop: string,
  port = server.env['PORT'],
): Promise<Response> =>
  tokenRequest(
    { issuer: `http://localhost:${port}` },
    application,
    {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: application.redirectUri,
    },
    { headers: { dpop } },
  );

const userinfo = (token: string, dpop: string): Promise<Response> =>
  fetch(`${server.issuer}/oauth/userinfo`, { headers: { authorization: `DPoP ${token}`, dpop } });

describe('a client whose proofs must carry a nonce', () => {
  it('is told which one, and gets its tokens with it, from either process', async () => {
    const code = await newCode();
    const refused = await redeem(code, await proof());
    expect([refused.status, await refused.json()]).toMatchObject([400, { error: 'use_dpop_nonce' }]);
    const nonce = refused.headers.get('dpop-nonce')!;
    expect(await recordedOf(server, refused)).toMatchObject([
      { type: 'token.refused', payload: { error: 'use_dpop_nonce' } },
    ]);
    expect((await redeem(code, await proof({ nonce }), strict.env['PORT'])).status).toBe(200);
  });

  it.each<[string, () => string]>([
    ['of an hour ago', () => nonceOf(own(), -60)],
    ['of four minutes ago', () => nonceOf(own(), -4)],
    ['of the next hour', () => nonceOf(own(), 60)],
    ['of another server', () => nonceOf(randomBytes(32), 1)],
    ['that is garbage', () => 'garbage'],
  ])('gets nothing with a nonce %s, and loses nothing', async (_name, nonce) => {
    const code = await newCode();
    const refused = await redeem(code, await proof({ nonce: nonce() }));
    expect([refused.status, await refused.json()]).toMatchObject([400, { error: 'use_dpop_nonce' }]);
    const next = refused.headers.get('dpop-nonce')!;
    expect((await redeem(code, await proof({ nonce: next }))).status).toBe(200);
  });

  it('may have a clock that is wrong, but shows each proof once', async () => {
    const dpop = await proof({ nonce: nonceOf(own(), 1), iat: 1 });
    expect((await redeem(await newCode(), dpop)).status).toBe(200);
    const code = await newCode();
    const again = await redeem(code, dpop, strict.env['PORT']);
    expect([again.status, await again.json()]).toMatchObject([400, { error: 'invalid_grant' }]);
    const beyond = await proof({ nonce: nonceOf(own(), 1), iat: 1e18 });
    expect((await redeem(code, beyond)).status).toBe(200);
  });

  it('uses its tokens with a nonce only, and with its own key', async () => {
    const answer = await redeem(await newCode(), await proof({ nonce: nonceOf(own(), 1) }));
    const { access_token: accessToken } = (await answer.json()) as Tokens;
    expect(await introspect(server, application, accessToken)).toMatchObject({
      active: true,
      cnf: { jkt: await calculateJwkThumbprint(key.jwk) },
    });
    const refused = await userinfo(accessToken, await proof({ endpoint: 'userinfo', accessToken }));
    expect(refused.status).toBe(401);
    expect(refused.headers.get('www-authenticate')).toMatch(/^DPoP .*use_dpop_nonce/);
    const nonce = refused.headers.get('dpop-nonce')!;
    const good = await userinfo(accessToken, await proof({ endpoint: 'userinfo', accessToken, nonce }));
    expect(good.status).toBe(200);

    const bearer = await fetch(`${server.issuer}/oauth/userinfo`, {
      headers: { authorization: `Bearer ${accessToken}` },
    });
    expect(bearer.status).toBe(401);
    const mine = key;
    key = await proofKey();
    const stolen = await userinfo(accessToken, await proof({ endpoint: 'userinfo', accessToken, nonce }));
    key = mine;
    expect(stolen.status).toBe(401);
  });
});

it('asks nobody else for one, unless the settings ask everybody', async () => {
  const free = await registerApplication(server, {});
  const request = authorizationRequest(server, free);
  const code = codeOf(await person.open(request.url));
  const ask = async (at: TestServer, dpop: string): Promise<[number, string | undefined]> => {
    const answer = await tokenRequest(
      { issuer: `http://localhost:${at.env['PORT']}` },
      free,
      {
        grant_type: 'authorization_code',
        code,
        code_verifier: request.verifier,
        redirect_uri: free.redirectUri,
      },
      { headers: { dpop } },
    );
    return [answer.status, ((await answer.json()) as { error?: string }).error];
  };
  expect(await ask(strict, await proof())).toEqual([400, 'use_dpop_nonce']);
  expect(await ask(server, await proof())).toEqual([200, undefined]);
});

describe('the libraries of others', () => {
  it('openid-client finds the nonce by itself', async () => {
    const config = await openid.discovery(
      new URL(server.issuer),
      application.clientId,
      {},
      openid.ClientSecretBasic(application.secret),
      { execute: [openid.allowInsecureRequests] },
    );
    const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256'));
    const pkceCodeVerifier = openid.randomPKCECodeVerifier();
    const url = openid.buildAuthorizationUrl(config, {
      redirect_uri: application.redirectUri,
      scope: 'openid',
      code_challenge: await openid.calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: 'S256',
      dpop_jkt: await DPoP.calculateThumbprint(),
    });
    const { url: callback } = await person.open(url.href);
    const checks = { pkceCodeVerifier };
    const tokens = await openid.authorizationCodeGrant(config, callback, checks, undefined, { DPoP });
    const { sub } = tokens.claims()!;
    expect((await openid.fetchUserInfo(config, tokens.access_token, sub, { DPoP })).sub).toBe(sub);
  });

  it('oauth4webapi is told, and goes on', async () => {
    const code = await newCode();
    const as: oauth.AuthorizationServer = {
      issuer: server.issuer,
      token_endpoint: `${server.issuer}/oauth/token`,
    };
    const client = { client_id: application.clientId };
    const DPoP = oauth.DPoP({}, await oauth.generateKeyPair('ES256'));
    const callback = new URL(`${application.redirectUri}?code=${code.code}&iss=${server.issuer}`);
    const ask = (): Promise<Response> =>
      oauth.authorizationCodeGrantRequest(
        as,
        client,
        oauth.ClientSecretBasic(application.secret!),
        oauth.validateAuthResponse(as, client, callback, oauth.skipStateCheck),
        application.redirectUri,
        code.verifier,
        { DPoP, [oauth.allowInsecureRequests]: true },
      );
    const refusal = await oauth
      .processAuthorizationCodeResponse(as, client, await ask())
      .catch((error: unknown) => error);
    expect(oauth.isDPoPNonceError(refusal)).toBe(true);
    expect((await ask()).status).toBe(200);
  });
});
