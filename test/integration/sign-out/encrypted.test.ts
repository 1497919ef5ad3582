/** Logout tokens of a client that has its ID tokens encrypted (OIDC Back-Channel Logout 1.0 §2.6). */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { compactDecrypt, createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';

import { OPERATOR, signedIn } from '../../support/application.ts';
import { createShiftedClock, type ShiftedClock } from '../../support/clock.ts';
import { eventually } from '../../support/eventually.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { type LogoutReceiver, startLogoutReceiver } from '../../support/logout-receiver.ts';
import { generateKey, type OwnKey } from '../../support/relying-party.ts';

let server: TestServer;
let clock: ShiftedClock;
let receiver: LogoutReceiver;
let publisher: Server;
let published: { status: number; keys: object[] };

beforeAll(async () => {
  clock = createShiftedClock();
  server = await startGatehouse({ clock, env: { GATEHOUSE_OUTGOING_ALLOWED_HOSTS: '127.0.0.1' } });
  publisher = createServer((_request, response) => {
    response.writeHead(published.status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ keys: published.keys }));
  });
  await new Promise<void>((resolve) => {
    publisher.listen(0, '127.0.0.1', resolve);
  });
});
afterAll(async () => {
  publisher?.close();
  await server?.stop();
});
beforeEach(async () => {
  receiver = await startLogoutReceiver();
});
afterEach(() => receiver.close());

const told = () =>
  ({
    backchannelLogoutUri: `${receiver.origin}/backchannel`,
    idTokenEncryptedResponseAlg: 'ECDH-ES',
    idTokenEncryptedResponseEnc: 'A256GCM',
  }) as const;

async function opened(token: string, { privateKey }: OwnKey): Promise<string> {
  return Buffer.from((await compactDecrypt(token, privateKey)).plaintext).toString();
}

async function failuresOf(clientId: string): Promise<unknown[]> {
  const { rows } = await server.database.db.query<{ reason: string }>(
    `select payload ->> 'reason' as reason from audit_events
      where client_id = $1 and type = 'logout_notice.failed'`,
    [clientId],
  );
  return rows.map(({ reason }) => reason);
}

describe.each(['ECDH-ES', 'X25519', 'RSA-OAEP-256'])('to a key for %s', (kind) => {
  it('are signed, and then encrypted as the ID token was', async () => {
    const alg = kind === 'X25519' ? 'ECDH-ES' : kind;
    const key = await generateKey(alg, { use: 'enc', ...(kind === 'X25519' && { crv: 'X25519' }) });
    const { application, credentials, tokens } = await signedIn(
      server,
      {
        ...told(),
        idTokenEncryptedResponseAlg: alg as 'ECDH-ES',
        jwks: { keys: [{ ...key.jwk }] },
      },
      'openid',
    );
    await server.subjects.signOut.everywhere(credentials.account, OPERATOR);
    await receiver.until(1);
    const [token = ''] = receiver.tokens;
    expect(decodeProtectedHeader(token)).toMatchObject({
      alg,
      enc: 'A256GCM',
      cty: 'JWT',
      kid: key.jwk.kid,
      iss: server.issuer,
      aud: application.clientId,
    });
    const keySet = createRemoteJWKSet(new URL(`${server.issuer}/oauth/jwks`));
    const { payload } = await jwtVerify(await opened(token, key), keySet, {
      issuer: server.issuer,
      audience: application.clientId,
      typ: 'logout+jwt',
    });
    const { sub, sid } = decodeJwt(await opened(tokens.id_token ?? '', key));
    expect(payload).toMatchObject({ sub, sid });
  });
});

describe('to a key that the client publishes', () => {
  const register = () => {
    const { port } = publisher.address() as AddressInfo;
    return signedIn(server, { ...told(), jwksUri: `http://127.0.0.1:${port}/jwks` }, 'openid');
  };

  it('wait while it cannot be had, and never leave in the clear', async () => {
    const key = await generateKey('ECDH-ES', { use: 'enc' });
    published = { status: 200, keys: [key.jwk] };
    const { application, credentials } = await register();
    published = { status: 503, keys: [] };
    // The copy of the keys is a minute old at most; a new version of the client has none.
    await server.subjects.clients.update(application.clientId, { name: 'Renamed' }, OPERATOR);
    await server.subjects.signOut.everywhere(credentials.account, OPERATOR);
    await eventually(async () =>
      expect(await failuresOf(application.clientId)).toEqual(['no_encryption_key']),
    );
    expect(receiver.tokens).toEqual([]);

    published = { status: 200, keys: [key.jwk] };
    await server.subjects.clients.update(application.clientId, { name: 'Renamed again' }, OPERATOR);
    clock.advanceSeconds(60);
    await receiver.until(1);
    expect(decodeJwt(await opened(receiver.tokens[0] ?? '', key)).sub).toBe(credentials.account.sub);
  });

  it('on an inner host are not sent, where nobody vouches for the client', async () => {
    const key = await generateKey('ECDH-ES', { use: 'enc' });
    published = { status: 200, keys: [key.jwk] };
    const { application, credentials } = await register();
    await server.database.db.query(
      `insert into client_registrations (client_id, access_digest, registered_at) values ($1, '', now())`,
      [application.clientId],
    );
    await server.subjects.clients.update(
      application.clientId,
      { firstParty: false, consent: 'once', requirePkce: true },
      OPERATOR,
    );
    await server.subjects.signOut.everywhere(credentials.account, OPERATOR);
    await eventually(async () =>
      expect(await failuresOf(application.clientId)).toEqual(['no_encryption_key']),
    );
    expect(receiver.tokens).toEqual([]);
  });

  it('are not sent while it has none for that', async () => {
    const key = await generateKey('ECDH-ES', { use: 'enc' });
    published = { status: 200, keys: [key.jwk] };
    const { application, credentials } = await register();
    published = { status: 200, keys: [(await generateKey('ES256')).jwk] };
    await server.subjects.clients.update(application.clientId, { name: 'Renamed' }, OPERATOR);
    await server.subjects.signOut.everywhere(credentials.account, OPERATOR);
    await eventually(async () =>
      expect(await failuresOf(application.clientId)).toEqual(['no_encryption_key']),
    );
    expect(receiver.tokens).toEqual([]);
  });
});

it('of a client without encryption stay as they were', async () => {
  const { credentials } = await signedIn(server, {
    backchannelLogoutUri: `${receiver.origin}/backchannel`,
  });
  await server.subjects.signOut.everywhere(credentials.account, OPERATOR);
  await receiver.until(1);
  expect(decodeProtectedHeader(receiver.tokens[0] ?? '')).toMatchObject({ typ: 'logout+jwt' });
});
