import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

import { randomToken } from '../../../src/platform/ids.ts';
import { OPERATOR } from '../../support/application.ts';
import { startGatehouse } from '../../support/gatehouse.ts';

let keys: Awaited<ReturnType<typeof generateKeyPair>>;
let publisher: Server;
let jwksUri: string;
let asked: string[];
let elsewhere: string | undefined;

beforeAll(async () => {
  keys = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'one', alg: 'ES256', use: 'sig' };
  publisher = createServer((request, response) => {
    asked.push(request.url ?? '');
    if (elsewhere !== undefined) return void response.writeHead(302, { location: elsewhere }).end();
    return void response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [jwk] }));
  });
  await new Promise<void>((resolve) => {
    publisher.listen(0, '127.0.0.1', resolve);
  });
  jwksUri = `http://127.0.0.1:${(publisher.address() as AddressInfo).port}/jwks`;
});
afterAll(() => {
  publisher.close();
});

it.each([
  { what: 'inside, not allowed', allowed: '10.0.0.0/8', redirects: false, status: 401, requests: 0 },
  { what: 'inside, allowed', allowed: '127.0.0.1', redirects: false, status: 200, requests: 1 },
  { what: 'allowed, and redirecting', allowed: '127.0.0.1', redirects: true, status: 401, requests: 1 },
])('keys of a client that are published $what', async ({ allowed, redirects, status, requests }) => {
  asked = [];
  elsewhere = redirects ? '/other' : undefined;
  const server = await startGatehouse({ env: { GATEHOUSE_OUTGOING_ALLOWED_HOSTS: allowed } });
  try {
    const { client } = await server.subjects.clients.create(
      { name: 'Machine', authMethod: 'private_key_jwt', jwksUri },
      OPERATOR,
    );
    const assertion = await new SignJWT({})
      .setProtectedHeader({ alg: 'ES256', kid: 'one' })
      .setIssuer(client.clientId)
      .setSubject(client.clientId)
      .setAudience(server.issuer)
      .setJti(randomToken(16))
      .setIssuedAt()
      .setExpirationTime('1 minute')
      .sign(keys.privateKey);
    const response = await fetch(`${server.issuer}/oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: client.clientId,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertion,
      }),
    });
    expect({ status: response.status, requests: asked.length }).toEqual({ status, requests });
  } finally {
    await server.stop();
  }
});
