import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createPublicKey, verify } from 'node:crypto';
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify, type JWK } from 'jose';

import { OPERATOR, registerApplication, signedIn } from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { startLogoutReceiver, type LogoutReceiver } from '../../support/logout-receiver.ts';

let server: TestServer;
let receiver: LogoutReceiver;
beforeAll(async () => {
  receiver = await startLogoutReceiver();
  server = await startGatehouse({
    env: {
      GATEHOUSE_KEYS_ALGORITHMS: 'RS256,ML-DSA-65',
      GATEHOUSE_OUTGOING_ALLOWED_HOSTS: '127.0.0.1',
    },
  });
});
afterAll(async () => {
  await server?.stop();
  await receiver?.close();
});

async function publishedKey(kid: string | undefined): Promise<JWK> {
  const { keys } = (await (await fetch(`${server.issuer}/oauth/jwks`)).json()) as { keys: JWK[] };
  return keys.find((key) => key.kid === kid) ?? {};
}

/** By the platform's own crypto, apart from the library that signed. */
async function isSigned(token: string): Promise<boolean> {
  const [header = '', payload = '', signature = ''] = token.split('.');
  const jwk = await publishedKey(decodeProtectedHeader(token).kid);
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  return verify(undefined, Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url'));
}

it('signs ID tokens and logout tokens that others verify', async () => {
  const { application, credentials, tokens } = await signedIn(
    server,
    { idTokenAlg: 'ML-DSA-65', backchannelLogoutUri: `${receiver.origin}/backchannel` },
    'openid',
  );
  const idToken = tokens.id_token ?? '';
  expect(decodeProtectedHeader(idToken).alg).toBe('ML-DSA-65');
  const keySet = createRemoteJWKSet(new URL(`${server.issuer}/oauth/jwks`));
  const expected = { issuer: server.issuer, audience: application.clientId, algorithms: ['ML-DSA-65'] };
  const { payload } = await jwtVerify(idToken, keySet, expected);
  expect(payload.sub).toBe(credentials.account.sub);
  expect(await isSigned(idToken)).toBe(true);
  const [header, body = '', signature] = idToken.split('.');
  const other = body.startsWith('A') ? `B${body.slice(1)}` : `A${body.slice(1)}`;
  expect(await isSigned([header, other, signature].join('.'))).toBe(false);

  const { kid } = decodeProtectedHeader(idToken);
  expect(Object.keys(await publishedKey(kid)).toSorted()).toEqual(['alg', 'kid', 'kty', 'pub', 'use']);

  await server.subjects.signOut.everywhere(credentials.account, OPERATOR);
  await receiver.until(1);
  await jwtVerify(receiver.tokens[0] ?? '', keySet, { ...expected, typ: 'logout+jwt' });
  expect(await isSigned(receiver.tokens[0] ?? '')).toBe(true);
});

it('is announced with the other algorithms that have keys, and rotates like them', async () => {
  const discovery = await fetch(`${server.issuer}/.well-known/openid-configuration`);
  expect(await discovery.json()).toMatchObject({
    id_token_signing_alg_values_supported: ['RS256', 'ML-DSA-65'],
  });
  const rotated = await server.subjects.keys.rotate({ alg: 'ML-DSA-65', immediately: true }, OPERATOR);
  const { tokens } = await signedIn(server, { idTokenAlg: 'ML-DSA-65' }, 'openid');
  expect(decodeProtectedHeader(tokens.id_token ?? '').kid).toBe(rotated[0]?.kid);
  expect(await isSigned(tokens.id_token ?? '')).toBe(true);
});

it('a client is refused an algorithm that there is no key for', async () => {
  await expect(registerApplication(server, { idTokenAlg: 'ES256' })).rejects.toMatchObject({
    code: 'invalid_client',
    message: expect.stringContaining('RS256, ML-DSA-65'),
  });
});
