/**
 * Client ID Metadata Documents make our server ask an address that a stranger writes into a request: what that must not
 * be turned into (draft-ietf-oauth-client-id-metadata-document §6).
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

import { randomToken } from '../../src/platform/ids.ts';
import {
  authorizationRequest,
  authorize,
  codeOf,
  redeem,
  registerPerson,
  tokenRequest,
} from '../support/application.ts';
import { registerApi } from '../support/apis.ts';
import { type DocumentHost, startDocumentHost } from '../support/document-host.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import { createPerson, type Visited } from '../support/person.ts';
import { recordedOf } from '../support/recorded.ts';
import { recorded } from '../support/registration.ts';

const REDIRECT_URI = 'https://app.example/callback';
const DOCUMENT = {
  client_name: 'Assistant',
  redirect_uris: [REDIRECT_URI],
  grant_types: ['authorization_code', 'refresh_token'],
  token_endpoint_auth_method: 'none',
};

const settings = (): Record<string, string> => ({
  GATEHOUSE_REGISTRATION_DOCUMENT_HOSTS: `*,${host.host},!banned.example`,
  GATEHOUSE_OUTGOING_ALLOWED_HOSTS: 'localhost',
  GATEHOUSE_OUTGOING_TIMEOUT_MS: '3000',
});

let host: DocumentHost;
let other: DocumentHost;
let server: TestServer;
beforeAll(async () => {
  host = await startDocumentHost();
  other = await startDocumentHost();
  server = await startGatehouse({ env: settings() });
}, 60_000);
afterAll(async () => {
  await server.stop();
  await Promise.all([host.stop(), other.stop()]);
});
beforeEach(() => {
  host.asked.length = 0;
  other.asked.length = 0;
});

const open = (clientId: string, parameters: Record<string, string> = {}): Promise<Visited> =>
  createPerson(server.issuer).open(
    authorizationRequest(server, { clientId, secret: undefined, redirectUri: REDIRECT_URI }, parameters).url,
  );

async function expectRefused(clientId: string, reason: RegExp): Promise<void> {
  const before = (await recorded(server, 'client.document_refused')).length;
  const page = await open(clientId);
  expect([page.isAway, page.status]).toEqual([false, 400]);
  const events = await recorded(server, 'client.document_refused');
  expect(events.length).toBeGreaterThan(before);
  const { protocol, host: place, pathname } = new URL(clientId);
  expect(events.at(-1)?.payload).toEqual({
    // Without user and query, which may be somebody's secret.
    url: `${protocol}//${place}${pathname}`.slice(0, 500),
    reason: expect.stringMatching(reason),
  });
  expect(page.html).not.toMatch(reason);
}

it('signs people in to a client that only its document describes, and says that nobody checked it', async () => {
  const clientId = host.serve('/app.json', DOCUMENT);
  const application = { clientId, secret: undefined, redirectUri: REDIRECT_URI };
  const person = createPerson(server.issuer);
  const credentials = await registerPerson(server);
  for (const round of ['first', 'second']) {
    const request = authorizationRequest(server, application, { scope: 'openid email' });
    const consent = await authorize(person, request, round === 'first' ? credentials : undefined);
    // Each time: what they said yes to may be another document by now.
    expect(consent.html).toContain('Nobody here has checked this app');
    expect(consent.html).toContain(host.host);
    expect(consent.html).toContain('Your answer goes to app.example');
    const visited = await person.submit(consent, { decision: 'allow' }, '/consent');
    const response = await redeem(server, application, { code: codeOf(visited), verifier: request.verifier });
    expect(response.status).toBe(200);
  }
  expect(host.asked).toEqual(['/app.json']);
  const discovered = await (await fetch(`${server.issuer}/.well-known/openid-configuration`)).json();
  expect(discovered).toMatchObject({ client_id_metadata_document_supported: true });
  expect(discovered).not.toHaveProperty('registration_endpoint');
  expect((await fetch(`${server.issuer}/oauth/register`, { method: 'POST' })).status).toBe(404);
  expect((await recorded(server, 'client.document_read')).at(-1)?.client_id).toBe(clientId);
  expect((await recorded(server, 'consent.granted')).at(-1)?.client_id).toBe(clientId);
  expect(await server.subjects.clients.list()).toEqual([]);
});

it('lets a client prove itself by the key that its document publishes, and by no other', async () => {
  const [own, foreign] = await Promise.all([generateKeyPair('ES256'), generateKeyPair('ES256')]);
  const clientId = host.serve('/keyed.json', {
    ...DOCUMENT,
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: { keys: [await exportJWK(own.publicKey)] },
  });
  const person = createPerson(server.issuer);
  const application = { clientId, secret: undefined, redirectUri: REDIRECT_URI };
  const request = authorizationRequest(server, application, { scope: 'openid' });
  const consent = await authorize(person, request, await registerPerson(server));
  const code = codeOf(await person.submit(consent, { decision: 'allow' }, '/consent'));
  const redeemBy = async (key?: Parameters<SignJWT['sign']>[0]): Promise<number> => {
    const proof = key && {
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: await new SignJWT({ jti: randomToken() })
        .setProtectedHeader({ alg: 'ES256' })
        .setIssuer(clientId)
        .setSubject(clientId)
        .setAudience(server.issuer)
        .setIssuedAt()
        .setExpirationTime('1m')
        .sign(key),
    };
    const response = await tokenRequest(server, application, {
      grant_type: 'authorization_code',
      code,
      code_verifier: request.verifier,
      redirect_uri: REDIRECT_URI,
      ...proof,
    });
    return response.status;
  };
  expect(await redeemBy()).toBe(401);
  expect(await redeemBy(foreign.privateKey)).toBe(401);
  expect(await redeemBy(own.privateKey)).toBe(200);
});

it('does not ask an inner host that is listed for others for the keys of a client', async () => {
  const { privateKey } = await generateKeyPair('ES256');
  const clientId = host.serve('/inner-keys.json', {
    ...DOCUMENT,
    token_endpoint_auth_method: 'private_key_jwt',
    jwks_uri: other.at('/keys.json'),
  });
  const response = await tokenRequest(
    server,
    { clientId, secret: undefined, redirectUri: REDIRECT_URI },
    {
      grant_type: 'refresh_token',
      refresh_token: 'rt_none',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: await new SignJWT({ jti: randomToken() })
        .setProtectedHeader({ alg: 'ES256' })
        .setIssuer(clientId)
        .setSubject(clientId)
        .setAudience(server.issuer)
        .setIssuedAt()
        .setExpirationTime('1m')
        .sign(privateKey),
    },
  );
  expect([response.status, other.asked]).toEqual([401, []]);
});

it('warns of an app on the person’s own machine, which any program there can be', async () => {
  const clientId = host.serve('/local.json', { ...DOCUMENT, redirect_uris: ['http://127.0.0.1/cb'] });
  const application = { clientId, secret: undefined, redirectUri: 'http://127.0.0.1:9/cb' };
  const consent = await authorize(
    createPerson(server.issuer),
    authorizationRequest(server, application, { scope: 'openid' }),
    await registerPerson(server),
  );
  expect(consent.html).toContain('any program can say that it is this app');
});

describe('the address', () => {
  it.each([
    ['is not listed at that port', () => other.at('/a'), /not in registration.documentHosts/],
    ['is excluded', () => 'https://banned.example/a', /not in registration.documentHosts/],
    ['has no path', () => `https://${host.host}`, /normal form|no path/],
    ['has an empty path', () => `https://${host.host}/`, /no path/],
    ['has a fragment', () => `${host.at('/a')}#b`, /fragment/],
    ['has a query', () => `${host.at('/a')}?b`, /query/],
    ['holds a user', () => `https://user@${host.host}/a`, /user information/],
    ['holds an empty user', () => `https://@${host.host}/a`, /user information/],
    ['climbs', () => `https://${host.host}/b/../a`, /normal form/],
    ['stays', () => `https://${host.host}/./a`, /normal form/],
    ['climbs in disguise', () => `https://${host.host}/b/%2e%2e/a`, /encoded dots/],
    ['is shouted', () => `https://${host.host.toUpperCase()}/a`, /normal form/],
    ['names the usual port', () => 'https://app.example:443/a', /normal form/],
    ['holds a backslash', () => `https://${host.host}\\a`, /characters/],
    ['holds a space', () => `https://${host.host}/a b`, /characters/],
    ['is far too long', () => `https://${host.host}/${'a'.repeat(500)}`, /longer/],
    ['is an inner host that is listed for others', () => 'https://localhost/a', /not public/],
    ['is a number', () => 'https://2130706433/a', /normal form/],
  ])('%s', async (_, clientId, reason) => {
    await expectRefused(clientId(), reason);
    expect([...host.asked, ...other.asked]).toEqual([]);
  });

  it.each([
    'https://127.0.0.1/a',
    'https://10.0.0.7/a',
    'https://169.254.169.254/latest/meta-data',
    'https://[::1]/a',
    'https://[::ffff:7f00:1]/a',
    'https://[fd00::1]/a',
  ])('%s leads inwards', async (clientId) => {
    await expectRefused(clientId, /not public/);
  });

  it('is no plain http, and no other scheme', async () => {
    for (const clientId of ['http://localhost/a', 'ftp://localhost/a', '//localhost/a']) {
      expect((await open(clientId)).status).toBe(400);
    }
    expect(host.asked).toEqual([]);
  });

  it('is not asked about where an API is called that', async () => {
    const clientId = host.serve('/api', DOCUMENT);
    await registerApi(server, { identifier: clientId });
    await expectRefused(clientId, /API/);
    expect(host.asked).toEqual([]);
  });
});

describe('the answer', () => {
  it.each<[string, Parameters<DocumentHost['serve']>[1], Record<string, string>, RegExp]>([
    ['is not there', (_, res) => void res.writeHead(404).end(), {}, /answers 404/],
    ['is not a document', DOCUMENT, { 'content-type': 'text/html' }, /application\/json/],
    ['is of no type', (_, res) => void res.end('{}'), {}, /application\/json/],
    ['is not JSON', '{"client_id":', {}, /not JSON/],
    ['is a list', '[]', {}, /not a JSON object/],
    ['is nothing', 'null', {}, /not a JSON object/],
    ['is somebody else’s', { ...DOCUMENT, client_id: 'https://app.example/other' }, {}, /client_id/],
    ['holds a secret', { ...DOCUMENT, client_secret: 'we-both-know-it' }, {}, /client_secret/],
    [
      'wants a secret',
      { ...DOCUMENT, token_endpoint_auth_method: 'client_secret_basic' },
      {},
      /token_endpoint_auth_method/,
    ],
    [
      'sends people over plain http',
      { ...DOCUMENT, redirect_uris: ['http://app.example/cb'] },
      {},
      /redirect URI/,
    ],
    [
      'acts for itself',
      { ...DOCUMENT, redirect_uris: [], grant_types: ['client_credentials'] },
      {},
      /machine/,
    ],
    ['has no key', { ...DOCUMENT, token_endpoint_auth_method: 'private_key_jwt' }, {}, /public keys/],
    ['is longer than any', { ...DOCUMENT, padding: 'a'.repeat(20_000) }, {}, /longer than/],
  ])('%s', async (name, answer, headers, reason) => {
    await expectRefused(
      host.serve(`/${encodeURIComponent(name).replaceAll('%', '')}`, answer, headers),
      reason,
    );
  });

  it('is no redirect, wherever it leads', async () => {
    const target = host.serve('/target', DOCUMENT);
    const clientId = host.serve('/moved', (_, res) => void res.writeHead(302, { location: target }).end());
    await expectRefused(clientId, /answers 302/);
    expect(host.asked).toEqual(['/moved']);
  });

  it('is not waited for without end, and the client may come back', async () => {
    const clientId = host.serve(
      '/slow',
      (_, res) => void res.writeHead(200, { 'content-type': 'application/json' }).write('{'),
    );
    const response = await fetch(`${server.issuer}/oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: 'x', client_id: clientId }),
    });
    expect([response.status, await response.json()]).toEqual([
      503,
      expect.objectContaining({ error: 'temporarily_unavailable' }),
    ]);
    expect(await recordedOf(server, response)).toMatchObject([
      { type: 'client.document_refused', payload: { url: clientId, reason: 'its host cannot be reached' } },
    ]);
  }, 20_000);

  it('tells a person whose page does not answer, and the log why, when its host is away', async () => {
    const clientId = host.serve('/away', (_, res) => void res.writeHead(503).end());
    const page = await open(clientId);
    expect([page.isAway, page.status]).toEqual([false, 503]);
    expect(page.html).toContain('We cannot find out what app this is');
    expect(page.html).toContain('Try again');
    expect((await recorded(server, 'client.document_refused')).at(-1)?.payload).toEqual({
      url: clientId,
      reason: 'its host cannot be reached',
    });
  });

  it('gives no client to a redirect URI that it does not name', async () => {
    const clientId = host.serve('/strict', DOCUMENT);
    const page = await open(clientId, { redirect_uri: 'https://evil.example/callback' });
    expect([page.isAway, page.status]).toEqual([false, 400]);
  });
});

it('is asked once by all who come at the same time, and remembered when it was wrong', async () => {
  const clientId = host.serve('/crowd', DOCUMENT);
  await Promise.all(Array.from({ length: 10 }, () => open(clientId)));
  const wrong = host.serve('/wrong', '[]');
  await expectRefused(wrong, /not a JSON object/);
  await expectRefused(wrong, /not a JSON object/);
  expect(host.asked.sort()).toEqual(['/crowd', '/wrong']);
});

it('is asked no more than a minute allows, which the log says', async () => {
  const busy = await startGatehouse({ env: settings() });
  try {
    const ask = (clientId: string): Promise<Response> =>
      fetch(`${busy.issuer}/oauth/token`, {
        method: 'POST',
        body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: 'x', client_id: clientId }),
      });
    for (let number = 0; number < 60; number += 1) await ask(host.at(`/invented/${number}`));
    expect(host.asked).toHaveLength(60);
    const refused = await ask(host.at('/invented/more'));
    expect([refused.status, host.asked.length]).toEqual([503, 60]);
    expect((await recorded(busy, 'client.document_refused')).at(-1)?.payload).toEqual({
      url: host.at('/invented/more'),
      reason: expect.stringContaining('too many documents'),
    });
  } finally {
    await busy.stop();
  }
}, 30_000);

it('does not keep people from signing out while its host is away', async () => {
  let isAway = false;
  const clientId = host.serve('/leaving', (_, res) => {
    if (isAway) return void res.writeHead(503).end();
    res.writeHead(200, { 'content-type': 'application/json' });
    return void res.end(JSON.stringify({ ...DOCUMENT, client_id: clientId }));
  });
  const person = createPerson(server.issuer);
  const application = { clientId, secret: undefined, redirectUri: REDIRECT_URI };
  const request = authorizationRequest(server, application, { scope: 'openid' });
  const consent = await authorize(person, request, await registerPerson(server));
  codeOf(await person.submit(consent, { decision: 'allow' }, '/consent'));
  isAway = true;
  // Another process on the same deployment never read the document.
  const second = await startGatehouse({ sharing: server, env: settings() });
  try {
    const elsewhere = createPerson(server.issuer, { connectTo: `http://localhost:${second.env['PORT']}` });
    for (const [key, cookie] of person.cookies) elsewhere.cookies.set(key, cookie);
    const out = await elsewhere.submit(await elsewhere.open(`${server.issuer}/oauth/logout`), {
      logout: 'yes',
    });
    expect(out.status).toBe(200);
    expect(out.html).toContain('You are signed out');
  } finally {
    await second.stop();
  }
}, 30_000);

it('reaches no API that was not opened to such clients', async () => {
  const clientId = host.serve('/curious', DOCUMENT);
  const { identifier } = await registerApi(server);
  const page = await open(clientId, { resource: identifier, scope: 'openid read' });
  expect(page.html).not.toContain('name="password"');
  expect((await recorded(server, 'authorization.failed')).at(-1)?.payload['error']).toBe('invalid_target');
});
