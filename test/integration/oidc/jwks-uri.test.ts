import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

import { randomToken } from '../../../src/platform/ids.ts';
import { OPERATOR } from '../../support/application.ts';
import { eventually } from '../../support/eventually.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';

type Kid = 'one' | 'two';

let keys: Record<Kid, Awaited<ReturnType<typeof generateKeyPair>>>;
let publisher: Server;
let jwksUri: string;
let asked: string[];
/** What is at the address: keys, another address, or a fault. */
let published: Kid[] | { location: string } | { status: number };

beforeAll(async () => {
  keys = { one: await generateKeyPair('ES256'), two: await generateKeyPair('ES256') };
  const jwks: Record<Kid, object> = { one: await jwkOf('one'), two: await jwkOf('two') };
  publisher = createServer((request, response) => {
    asked.push(request.url ?? '');
    if ('location' in published) return void response.writeHead(302, published).end();
    if ('status' in published) return void response.writeHead(published.status).end();
    const body = JSON.stringify({ keys: published.map((kid) => jwks[kid]) });
    return void response
      .writeHead(200, { 'content-type': 'application/json', 'cache-control': 'max-age=86400' })
      .end(body);
  });
  await new Promise<void>((resolve) => {
    publisher.listen(0, '127.0.0.1', resolve);
  });
  jwksUri = `http://127.0.0.1:${(publisher.address() as AddressInfo).port}/jwks`;
});
afterEach(() => {
  jest.restoreAllMocks();
});
afterAll(() => {
  publisher.close();
});

async function jwkOf(kid: Kid): Promise<object> {
  return { ...(await exportJWK(keys[kid].publicKey)), kid, alg: 'ES256', use: 'sig' };
}

/** The status of the answer to an assertion by that key. */
async function authenticate(issuer: string, clientId: string, kid: Kid): Promise<number> {
  const now = Math.floor(Date.now() / 1000);
  const assertion = await new SignJWT({})
    .setProtectedHeader({ alg: 'ES256', kid })
    .setIssuer(clientId)
    .setSubject(clientId)
    .setAudience(issuer)
    .setJti(randomToken(16))
    .setIssuedAt(now)
    .setExpirationTime(now + 60)
    .sign(keys[kid].privateKey);
  const { status } = await fetch(`${issuer}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: clientId,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: assertion,
    }),
  });
  return status;
}

function later(seconds: number): void {
  const now = Date.now();
  jest.spyOn(Date, 'now').mockImplementation(() => now + seconds * 1000);
}

it.each([
  { what: 'inside, not allowed', allowed: '10.0.0.0/8', redirects: false, status: 401, requests: 0 },
  { what: 'inside, allowed', allowed: '127.0.0.1', redirects: false, status: 200, requests: 1 },
  { what: 'allowed, and redirecting', allowed: '127.0.0.1', redirects: true, status: 401, requests: 1 },
])('keys of a client that are published $what', async ({ allowed, redirects, status, requests }) => {
  asked = [];
  published = redirects ? { location: '/other' } : ['one'];
  const server = await startGatehouse({ env: { GATEHOUSE_OUTGOING_ALLOWED_HOSTS: allowed } });
  try {
    const { client } = await server.subjects.clients.create(
      { name: 'Machine', authMethod: 'private_key_jwt', jwksUri },
      OPERATOR,
    );
    const answered = await authenticate(server.issuer, client.clientId, 'one');
    expect({ status: answered, requests: asked.length }).toEqual({ status, requests });
  } finally {
    await server.stop();
  }
});

describe('keys of a client that it publishes', () => {
  let server: TestServer;
  let clientId: string;
  const by = (kid: Kid): Promise<number> => authenticate(server.issuer, clientId, kid);

  beforeAll(async () => {
    server = await startGatehouse({ env: { GATEHOUSE_OUTGOING_ALLOWED_HOSTS: '127.0.0.1' } });
  });
  beforeEach(async () => {
    // The client is read anew, and its keys with it, once it is registered and again when word of that comes back.
    let timesForgotten = 0;
    const stopListening = server.subjects.clients.onChange(() => {
      timesForgotten += 1;
    });
    const { client } = await server.subjects.clients.create(
      { name: 'Machine', authMethod: 'private_key_jwt', jwksUri },
      OPERATOR,
    );
    clientId = client.clientId;
    published = ['one'];
    await eventually(async () => expect(timesForgotten).toBeGreaterThanOrEqual(2));
    stopListening();
    await eventually(async () => {
      asked = [];
      expect([await by('one'), asked.length]).toEqual([200, 0]);
    });
  });
  afterAll(async () => {
    await server.stop();
  });

  it('count a minute after they were published, and no longer once they were taken back', async () => {
    published = ['one', 'two'];
    expect(await by('two')).toBe(401);
    later(61);
    expect([await by('two'), await by('one'), asked.length]).toEqual([200, 200, 1]);
    published = ['two'];
    later(61);
    expect([await by('one'), await by('two'), asked.length]).toEqual([401, 200, 2]);
  });

  it('go on for a quarter of an hour where their address answers nothing good', async () => {
    published = { status: 503 };
    later(61);
    expect([await by('one'), await by('one'), asked.length]).toEqual([200, 200, 1]);
    later(901);
    expect([await by('one'), await by('one')]).toEqual([401, 401]);
    published = ['one'];
    later(61);
    expect(await by('one')).toBe(200);
  });

  it('go on where nobody answers, and no longer than that', async () => {
    published = { location: '/elsewhere' };
    later(61);
    expect(await by('one')).toBe(200);
    later(901);
    expect(await by('one')).toBe(401);
  });
});
