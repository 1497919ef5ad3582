/** Keys that a client publishes (`jwks_uri`): what is encrypted to them, what they verify, and what if they are away. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { compactDecrypt, decodeProtectedHeader, SignJWT } from 'jose';

import {
  authorizationRequest,
  authorize,
  basicOf,
  codeOf,
  redeem,
  registerApplication,
  registerPerson,
  type Application,
  type Tokens,
} from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person } from '../../support/person.ts';
import { recordedOf } from '../../support/recorded.ts';
import { generateKey, type OwnKey } from '../../support/relying-party.ts';

let server: TestServer;
let publisher: Server;
let published: { status: number; body: string };
let signing: OwnKey;
let encryption: OwnKey;
let person: Person;
let who: Awaited<ReturnType<typeof registerPerson>>;

beforeAll(async () => {
  server = await startGatehouse({ env: { GATEHOUSE_OUTGOING_ALLOWED_HOSTS: '127.0.0.1' } });
  signing = await generateKey('ES256');
  encryption = await generateKey('ECDH-ES', { use: 'enc' });
  publisher = createServer((_request, response) => {
    response.writeHead(published.status, { 'content-type': 'application/json' }).end(published.body);
  });
  await new Promise<void>((resolve) => {
    publisher.listen(0, '127.0.0.1', resolve);
  });
  who = await registerPerson(server);
});
beforeEach(() => {
  person = createPerson(server.issuer);
});
afterAll(async () => {
  publisher.close();
  await server.stop();
});

const publish = (...keys: object[]): void => {
  published = { status: 200, body: JSON.stringify({ keys }) };
};
const without = ({ jwk }: OwnKey, member: string): object =>
  Object.fromEntries(Object.entries(jwk).filter(([name]) => name !== member));

function register(options: object): Promise<Application> {
  const { port } = publisher.address() as AddressInfo;
  return registerApplication(server, { jwksUri: `http://127.0.0.1:${port}/jwks`, ...options });
}

async function redeemed(application: Application): Promise<Response> {
  const request = authorizationRequest(server, application);
  const code = codeOf(await authorize(person, request, who));
  return redeem(server, application, { code, verifier: request.verifier });
}

/** Whether a request that the client signed with the key is let through. */
async function isVerifiedBy(application: Application, key: OwnKey): Promise<boolean> {
  const { searchParams } = new URL(authorizationRequest(server, application).url);
  const request = await new SignJWT(Object.fromEntries(searchParams))
    .setProtectedHeader({ alg: 'ES256', kid: key.jwk.kid })
    .setIssuer(application.clientId)
    .setAudience(server.issuer)
    .setExpirationTime('1 minute')
    .sign(key.privateKey);
  const response = await fetch(`${server.issuer}/oauth/par`, {
    method: 'POST',
    headers: { authorization: basicOf(application) },
    body: new URLSearchParams({ request }),
  });
  return response.status === 201;
}

describe('a key', () => {
  it('of "use" enc is encrypted to and verifies nothing', async () => {
    publish(signing.jwk, encryption.jwk);
    const application = await register({ idTokenEncryptedResponseAlg: 'ECDH-ES' });
    const { id_token: idToken = '' } = (await (await redeemed(application)).json()) as Tokens;
    expect(decodeProtectedHeader(idToken)).toMatchObject({ alg: 'ECDH-ES', enc: 'A128CBC-HS256' });
    expect((await compactDecrypt(idToken, encryption.privateKey)).plaintext.length).toBeGreaterThan(100);
    expect(await isVerifiedBy(application, signing)).toBe(true);
  });

  it('of "use" enc that could sign as well does not count as a signature', async () => {
    const both = await generateKey('ES256', { use: 'enc' });
    publish(signing.jwk, both.jwk);
    expect(await isVerifiedBy(await register({ requestObjectSigningAlg: 'ES256' }), both)).toBe(false);
  });

  it('that does not say what it is for verifies, and is not encrypted to', async () => {
    publish(without(signing, 'use'));
    const application = await register({ idTokenEncryptedResponseAlg: 'ECDH-ES' });
    expect(await isVerifiedBy(application, signing)).toBe(true);
    const response = await redeemed(application);
    expect([response.status, await response.json()]).toMatchObject([
      400,
      { error: 'invalid_client_metadata' },
    ]);
  });
});

describe.each<[string, () => void]>([
  [
    'away',
    () => {
      published = { status: 503, body: '' };
    },
  ],
  [
    'no keys',
    () => {
      published = { status: 200, body: 'nonsense' };
    },
  ],
  ['for signing alone', () => publish(signing.jwk)],
])('while what a client publishes is %s', (_what, prepare) => {
  it('nothing is told in the clear, and the record says why', async () => {
    prepare();
    const application = await register({
      idTokenEncryptedResponseAlg: 'ECDH-ES',
      authorizationEncryptedResponseAlg: 'ECDH-ES',
    });
    const response = await redeemed(application);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: 'invalid_client_metadata' });
    expect(await recordedOf(server, response)).toMatchObject([
      { type: 'token.refused', payload: { error: 'invalid_client_metadata', reason: expect.any(String) } },
    ]);

    const { url } = authorizationRequest(server, application, { response_mode: 'jwt' });
    const answer = await person.request(url);
    expect({ status: answer.status, location: answer.headers.get('location') }).toEqual({
      status: 400,
      location: null,
    });
    expect(await answer.text()).toContain('invalid_client_metadata');
    const records = await recordedOf(server, answer);
    expect(records.map(({ type }) => type)).toContain('authorization.failed');
  });
});
