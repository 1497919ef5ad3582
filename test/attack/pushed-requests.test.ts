/** Pushed authorization requests in the wrong hands (RFC 9126 §2, §4, §7). */
import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';

import {
  authorizationRequest,
  basicOf,
  codeOf,
  redeem,
  registerApplication,
  signedIn,
  type Application,
} from '../support/application.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import { createPerson, type Person } from '../support/person.ts';
import { recordedOf } from '../support/recorded.ts';

let server: TestServer;
let application: Application;
let stranger: Application;
let open: Application;
let strict: Application;
let person: Person;

beforeAll(async () => {
  server = await startGatehouse();
  ({ application, person } = await signedIn(server));
  stranger = await registerApplication(server);
  open = await registerApplication(server, { kind: 'browser' });
  strict = await registerApplication(server, { requirePushedAuthorizationRequests: true });
});
afterAll(() => server.stop());

/** The parameters of a good request, pushed with changes. */
function push(
  client: Application,
  changes: Record<string, string | undefined> = {},
  by: Application | undefined = client,
): { pushed: Promise<Response>; verifier: string } {
  const request = authorizationRequest(server, client, changes);
  const pushed = fetch(`${server.issuer}/oauth/par`, {
    method: 'POST',
    headers: by?.secret === undefined ? {} : { authorization: basicOf(by) },
    body: new URL(request.url).searchParams,
  });
  return { pushed, verifier: request.verifier };
}

async function pushedUri(client: Application): Promise<{ uri: string; verifier: string }> {
  const { pushed, verifier } = push(client);
  const response = await pushed;
  expect(response.status).toBe(201);
  return { uri: ((await response.json()) as { request_uri: string }).request_uri, verifier };
}

function use(clientId: string, uri: string, more: Record<string, string> = {}): Promise<Response> {
  const query = new URLSearchParams({ client_id: clientId, request_uri: uri, ...more });
  return person.request(`${server.issuer}/oauth/authorize?${query.toString()}`);
}

async function expectNoCode(response: Response, error: string): Promise<void> {
  const location = response.headers.get('location') ?? '';
  expect(location).not.toContain('code=');
  const events = await recordedOf(server, response);
  expect(events).toMatchObject([{ type: 'authorization.failed', outcome: 'failure', payload: { error } }]);
  if (location !== '') expect(new URL(location).origin).toBe('https://app.example');
}

it('works once', async () => {
  const { uri, verifier } = await pushedUri(application);
  const first = await person.open(
    `${server.issuer}/oauth/authorize?${new URLSearchParams({ client_id: application.clientId, request_uri: uri }).toString()}`,
  );
  const code = codeOf(first);
  await expectNoCode(await use(application.clientId, uri), 'invalid_request_uri');
  expect((await redeem(server, application, { code, verifier })).status).toBe(200);
});

it("is of no use under another client's name, and stays good for its own", async () => {
  const { uri } = await pushedUri(application);
  for (const { clientId } of [stranger, open])
    await expectNoCode(await use(clientId, uri), 'invalid_request_object');
  expect((await use(application.clientId, uri)).headers.get('location')).toContain('code=');
});

it('holds what was pushed, whatever stands beside it in the query', async () => {
  const { uri } = await pushedUri(application);
  const response = await use(application.clientId, uri, {
    scope: 'openid email roles',
    redirect_uri: 'https://evil.example/',
    code_challenge: 'x'.repeat(43),
    prompt: 'login',
    state: 'theirs',
    response_mode: 'fragment',
  });
  const location = new URL(response.headers.get('location') ?? '');
  expect(location.origin).toBe('https://app.example');
  expect(location.searchParams.get('code')).toMatch(/^ac_/);
  expect(location.searchParams.get('state')).not.toBe('theirs');
});

it('leads nowhere with another response_type beside it', async () => {
  const { uri } = await pushedUri(application);
  const response = await use(application.clientId, uri, { response_type: 'token' });
  expect([response.status, response.headers.get('location')]).toEqual([400, null]);
  await expectNoCode(response, 'invalid_request_object');
});

it.each([
  ['made up', 'urn:ietf:params:oauth:request_uri:made-up'],
  ['empty', ''],
  ['a place elsewhere', 'https://evil.example/request'],
  ['a file', 'file:///etc/passwd'],
  ['a NUL byte', 'urn:ietf:params:oauth:request_uri:\u0000'],
  ['long', `urn:ietf:params:oauth:request_uri:${'x'.repeat(9000)}`],
])('is refused when its name is %s', async (_name, uri) => {
  const response = await use(application.clientId, uri);
  expect(response.headers.get('location') ?? '').not.toContain('code=');
  expect(response.headers.get('location') ?? '').not.toContain('evil');
  expect(response.status).toBeLessThan(500);
  expect(await recordedOf(server, response)).toMatchObject([{ type: 'authorization.failed' }]);
});

it('is refused once its time is over, which the operator may shorten', async () => {
  const { uri } = await pushedUri(application);
  const hasty = await startGatehouse({ env: { GATEHOUSE_TTL_PAR_SECONDS: '5' } });
  const { now } = Date;
  try {
    const client = await registerApplication(hasty, { clientUri: 'https://app.example/home' });
    const response = await fetch(`${hasty.issuer}/oauth/par`, {
      method: 'POST',
      headers: { authorization: basicOf(client) },
      body: new URL(authorizationRequest(hasty, client).url).searchParams,
    });
    const pushed = (await response.json()) as { request_uri: string; expires_in: number };
    expect(pushed.expires_in).toBe(5);
    jest.spyOn(Date, 'now').mockImplementation(() => now() + 7_000);
    const query = new URLSearchParams({ client_id: client.clientId, request_uri: pushed.request_uri });
    const late = await createPerson(hasty.issuer).open(`${hasty.issuer}/oauth/authorize?${query.toString()}`);
    expect([late.status, late.isAway]).toEqual([400, false]);
    expect(late.html).toContain('This sign-in link has ended');
    expect(late.html).toContain('href="https://app.example/home"');
    jest.spyOn(Date, 'now').mockImplementation(() => now() + 61_000);
    await expectNoCode(await use(application.clientId, uri), 'invalid_request_uri');
  } finally {
    jest.restoreAllMocks();
    await hasty.stop();
  }
});

it.each<[string, Record<string, string | undefined>, string]>([
  ['an address that is not registered', { redirect_uri: 'https://evil.example/' }, 'invalid_request'],
  ['no address', { redirect_uri: undefined }, 'invalid_request'],
  ['no challenge', { code_challenge: undefined, code_challenge_method: undefined }, 'invalid_request'],
  ['a plain challenge', { code_challenge_method: 'plain' }, 'invalid_request'],
  ['a token for an answer', { response_type: 'token' }, 'unsupported_response_type'],
  [
    'another request within',
    { request_uri: 'urn:ietf:params:oauth:request_uri:x' },
    'request_uri_not_supported',
  ],
  ['no real request object', { request: 'a.b.c' }, 'invalid_request_object'],
  ['a scope that it may not have', { scope: 'openid email' }, 'invalid_scope'],
])('is refused with %s', async (_name, changes, error) => {
  const modest = await registerApplication(server, { scopes: ['openid'] });
  const response = await push(modest, changes).pushed;
  expect([response.status, await response.json()]).toMatchObject([400, { error }]);
  expect(await recordedOf(server, response)).toMatchObject([
    { type: 'par.refused', outcome: 'failure', payload: { error } },
  ]);
});

it('is refused by, or in the name of, somebody else', async () => {
  const nameless = await push(application, {}, { ...application, secret: undefined }).pushed;
  expect([nameless.status, await nameless.json()]).toMatchObject([401, { error: 'invalid_client' }]);
  const other = await push(application, {}, stranger).pushed;
  expect([other.status, await other.json()]).toMatchObject([400, { error: 'invalid_request' }]);
  const wrong = await push(application, {}, { ...application, secret: 'guess' }).pushed;
  expect([wrong.status, await wrong.json()]).toMatchObject([401, { error: 'invalid_client' }]);
});

it('cannot be gone round by a client that must push', async () => {
  const response = await person.request(authorizationRequest(server, strict).url);
  await expectNoCode(response, 'invalid_request');
  const { uri } = await pushedUri(strict);
  expect((await use(strict.clientId, uri)).headers.get('location')).toContain('code=');
});
