/**
 * Authorization requests that were tampered with (RFC 9700 §4.1, §4.4, OIDC Core §3.1.2): refused on a page of ours
 * while the address to go back to is in doubt, else told to the client's own address with the standard's error.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';

import {
  authorizationRequest,
  codeOf,
  registerApplication,
  signedIn,
  type Application,
} from '../support/application.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import type { Person } from '../support/person.ts';
import { sendRaw } from '../support/raw-http.ts';
import { recordedOf } from '../support/recorded.ts';

let server: TestServer;
let web: Application;
let native: Application;
let browser: Application;
/** Signed in, so that a request that is let through would end in a code. */
let person: Person;

beforeAll(async () => {
  server = await startGatehouse();
  web = await registerApplication(server, {
    redirectUris: ['https://app.example/callback', 'https://app.example/second?tenant=1'],
  });
  native = await registerApplication(server, {
    kind: 'native',
    redirectUris: ['http://127.0.0.1/callback', 'com.example.app:/callback'],
  });
  browser = await registerApplication(server, {
    kind: 'browser',
    redirectUris: ['http://localhost:5173/callback'],
  });
  ({ person } = await signedIn(server));
});
afterAll(() => server.stop());

function authorize(application: Application, parameters: Record<string, string | undefined> = {}) {
  return person.request(authorizationRequest(server, application, parameters).url);
}

/** Refused on a page of ours: nobody is sent anywhere. */
async function expectPage(response: Response, error: string): Promise<string> {
  expect(response.headers.get('location')).toBeNull();
  expect(response.status).toBe(400);
  expect(response.headers.get('content-type')).toContain('text/html');
  expect(response.headers.get('cache-control')).toContain('no-store');
  const html = await response.text();
  expect(html).toContain(error);
  expect(await recordedOf(server, response)).toMatchObject([
    { type: 'authorization.failed', outcome: 'failure', payload: { error, reason: expect.any(String) } },
  ]);
  return html;
}

describe('redirect_uri', () => {
  it.each([
    ['another host', 'https://evil.example/callback'],
    ['a host that only begins alike', 'https://app.example.evil.example/callback'],
    ['a host that only ends alike', 'https://evilapp.example/callback'],
    ['the host as user information', 'https://app.example@evil.example/callback'],
    ['the host with a password', 'https://app.example:pw@evil.example/callback'],
    ['user information before the host', 'https://evil@app.example/callback'],
    ['a backslash before the host', 'https://evil.example\\@app.example/callback'],
    ['another scheme', 'http://app.example/callback'],
    ['a script', 'javascript:alert(1)//https://app.example/callback'],
    ['data', 'data:text/html,https://app.example/callback'],
    ['another port', 'https://app.example:8443/callback'],
    ['the default port written out', 'https://app.example:443/callback'],
    ['capital letters in the host', 'https://APP.example/callback'],
    ['capital letters in the path', 'https://app.example/Callback'],
    ['capital letters in the scheme', 'HTTPS://app.example/callback'],
    ['a longer path', 'https://app.example/callback/evil'],
    ['a slash at the end', 'https://app.example/callback/'],
    ['a shorter path', 'https://app.example/'],
    ['a step up', 'https://app.example/callback/../evil'],
    ['an encoded step up', 'https://app.example/callback/%2e%2e/evil'],
    ['an encoded slash', 'https://app.example%2Fcallback'],
    ['an encoded letter', 'https://app.example/%63allback'],
    ['a query', 'https://app.example/callback?next=https://evil.example'],
    ['an empty query', 'https://app.example/callback?'],
    ['another query', 'https://app.example/second?tenant=2'],
    ['a longer query', 'https://app.example/second?tenant=1&next=evil'],
    ['a missing query', 'https://app.example/second'],
    ['a fragment', 'https://app.example/callback#evil'],
    ['an empty fragment', 'https://app.example/callback#'],
    ['a space at the end', 'https://app.example/callback '],
    ['a line break', 'https://app.example/callback\r\nLocation: https://evil.example'],
    ['a NUL byte', 'https://app.example/callback\u0000.evil.example'],
    ['a tab in the scheme', 'ht\ttps://app.example/callback'],
    ['a full stop after the host', 'https://app.example./callback'],
    ['a look-alike letter', 'https://аpp.example/callback'],
    ['a full-width full stop', 'https://app．example/callback'],
    ['no scheme', '//app.example/callback'],
    ['a path alone', '/callback'],
    ['a wildcard', 'https://*.example/callback'],
    ['two URIs', 'https://app.example/callback https://evil.example/'],
    ['nothing', ''],
    ['10 kB', `https://app.example/callback?${'x'.repeat(10_000)}`],
  ])('is refused with %s', async (_name, redirectUri) => {
    const response = await authorize(web, { redirect_uri: redirectUri });
    const html = await expectPage(response, redirectUri === '' ? 'invalid_request' : 'invalid_redirect_uri');
    expect(html).not.toMatch(/(href|action|src|content)="[^"]*evil/);
  });

  it('is refused when it is left out, although the client has only one', async () => {
    const single = await registerApplication(server);
    await expectPage(await authorize(single, { redirect_uri: undefined }), 'invalid_request');
  });

  it("is refused when it is another client's", async () => {
    await expectPage(
      await authorize(web, { redirect_uri: 'com.example.app:/callback' }),
      'invalid_redirect_uri',
    );
  });

  it('is refused when it comes twice, one of them good', async () => {
    const { url } = authorizationRequest(server, web);
    for (const twice of [
      `${url}&redirect_uri=https%3A%2F%2Fevil.example%2F`,
      `${server.issuer}/oauth/authorize?redirect_uri=https%3A%2F%2Fevil.example%2F&${new URL(url).search.slice(1)}`,
    ]) {
      await expectPage(await person.request(twice), 'invalid_request');
    }
  });

  it.each([
    ['localhost for 127.0.0.1', 'http://localhost:4711/callback'],
    ['the other loopback address', 'http://[::1]:4711/callback'],
    ['a number for the address', 'http://2130706433/callback'],
    ['another loopback address', 'http://127.0.0.2/callback'],
    ['https on loopback', 'https://127.0.0.1/callback'],
    ['another path on loopback', 'http://127.0.0.1:4711/evil'],
    ['user information on loopback', 'http://127.0.0.1:4711@evil.example/callback'],
    ["another host below the app's scheme", 'com.example.app://evil.example/callback'],
    ['a longer private-use scheme', 'com.example.app.evil:/callback'],
  ])('of a native client is refused with %s', async (_name, redirectUri) => {
    await expectPage(await authorize(native, { redirect_uri: redirectUri }), 'invalid_redirect_uri');
  });

  it('of a native client may have any port on loopback (RFC 8252 §7.3)', async () => {
    const response = await authorize(native, { redirect_uri: 'http://127.0.0.1:4711/callback' });
    expect(response.headers.get('location')).toMatch(/^http:\/\/127\.0\.0\.1:4711\/callback\?code=/);
  });

  it.each([
    ['another port', 'http://localhost:5174/callback'],
    ['127.0.0.1 for localhost', 'http://127.0.0.1:5173/callback'],
  ])('of a browser client is refused with %s', async (_name, redirectUri) => {
    await expectPage(await authorize(browser, { redirect_uri: redirectUri }), 'invalid_redirect_uri');
  });
});

describe('the client', () => {
  it.each([
    ['unknown', 'nobody'],
    ['of another case', 'UPPER'],
    ['a NUL byte', '\u0000'],
    ['with a NUL byte behind', 'NUL'],
    ['half a surrogate pair', '\ud800'],
    ['long', 'x'.repeat(9000)],
    ['a property of every object', '__proto__'],
    ['a statement', "' or 1=1 --"],
  ])('is refused where it is %s', async (_name, id) => {
    const clientId = id === 'UPPER' ? web.clientId.toUpperCase() : id === 'NUL' ? `${web.clientId}\0` : id;
    const html = await expectPage(await authorize(web, { client_id: clientId }), 'invalid_client');
    expect(html).not.toContain('app.example');
  });

  it('is refused where it is missing', async () => {
    await expectPage(await authorize(web, { client_id: undefined }), 'invalid_request');
  });

  it('is refused where it was deleted', async () => {
    const gone = await registerApplication(server);
    await server.subjects.clients.delete(gone.clientId, { kind: 'operator', name: 'test' });
    await expectPage(await authorize(gone), 'invalid_client');
  });

  it('is refused where it is a machine', async () => {
    const { client } = await server.subjects.clients.create(
      { name: 'Machine', kind: 'machine' },
      { kind: 'operator', name: 'test' },
    );
    const machine = { ...web, clientId: client.clientId };
    const response = await authorize(machine);
    expect(response.headers.get('location')).toBeNull();
    expect(response.status).toBe(400);
  });
});

describe('what the request asks for', () => {
  /** Told to the client at its own address, with `state` and `iss` (RFC 9207). */
  async function expectRedirect(response: Response, error: string, mode: 'query' | 'fragment' = 'query') {
    expect(response.status).toBe(303);
    const location = new URL(response.headers.get('location') ?? '');
    expect(location.origin + location.pathname).toBe('https://app.example/callback');
    const answer = new URLSearchParams(mode === 'query' ? location.search : location.hash.slice(1));
    expect(Object.fromEntries(answer)).toMatchObject({
      error,
      iss: server.issuer,
      state: expect.any(String),
    });
    expect(answer.has('code')).toBe(false);
    expect(await recordedOf(server, response)).toMatchObject([
      { type: 'authorization.failed', outcome: 'failure', payload: { error } },
    ]);
  }

  const hint = async (alg: 'none' | 'foreign' | 'garbage'): Promise<string> => {
    const claims = { sub: 'somebody', aud: web.clientId };
    if (alg === 'garbage') return 'not.a.token';
    if (alg === 'none')
      return new UnsecuredJWT(claims).setIssuer(server.issuer).setIssuedAt().setExpirationTime('1h').encode();
    const { privateKey } = await generateKeyPair('RS256');
    return new SignJWT(claims)
      .setProtectedHeader({ alg: 'RS256' })
      .setIssuer('https://other.example')
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(privateKey);
  };

  it.each<[string, Record<string, string | undefined>, string]>([
    ['a token in the answer', { response_type: 'token' }, 'unsupported_response_type'],
    ['an ID token in the answer', { response_type: 'id_token' }, 'unsupported_response_type'],
    ['both in the answer', { response_type: 'id_token token' }, 'unsupported_response_type'],
    ['a hybrid answer', { response_type: 'code id_token' }, 'unsupported_response_type'],
    ['a hybrid answer with a token', { response_type: 'code token' }, 'unsupported_response_type'],
    ['no answer', { response_type: 'none' }, 'unsupported_response_type'],
    ['an unknown answer', { response_type: 'code\u0000' }, 'unsupported_response_type'],
    ['no response type', { response_type: undefined }, 'invalid_request'],
    ['an unknown response mode', { response_mode: 'web_message' }, 'unsupported_response_mode'],
    ['an unknown signed response mode', { response_mode: 'web_message.jwt' }, 'unsupported_response_mode'],
    ['no challenge', { code_challenge: undefined, code_challenge_method: undefined }, 'invalid_request'],
    ['a method without a challenge', { code_challenge: undefined }, 'invalid_request'],
    ['a plain challenge', { code_challenge_method: 'plain' }, 'invalid_request'],
    ['a challenge that is plain by default', { code_challenge_method: undefined }, 'invalid_request'],
    ['a method in small letters', { code_challenge_method: 's256' }, 'invalid_request'],
    ['a short challenge', { code_challenge: 'x'.repeat(42) }, 'invalid_request'],
    ['a long challenge', { code_challenge: 'x'.repeat(129) }, 'invalid_request'],
    ['a challenge with foreign characters', { code_challenge: `${'x'.repeat(42)}=` }, 'invalid_request'],
    ['prompt=none and login', { prompt: 'none login' }, 'invalid_request'],
    ['prompt=none and consent', { prompt: 'consent none' }, 'invalid_request'],
    ['an unknown prompt', { prompt: 'create' }, 'invalid_request'],
    ['one of our own prompts', { prompt: 'mfa' }, 'invalid_request'],
    ['a max_age that is no number', { max_age: 'soon' }, 'invalid_request'],
    ['a negative max_age', { max_age: '-1' }, 'invalid_request'],
    ['a fractional max_age', { max_age: '1.5' }, 'invalid_request'],
    ['an immense max_age', { max_age: '99999999999999999999' }, 'invalid_request'],
    ['an unsigned request object', { request: 'eyJhbGciOiJub25lIn0.e30.' }, 'invalid_request_object'],
    ['a request object elsewhere', { request_uri: 'https://evil.example/r' }, 'request_uri_not_supported'],
    ['a registration', { registration: '{}' }, 'registration_not_supported'],
    ['a garbled hint', { id_token_hint: 'HINT garbage' }, 'invalid_request'],
    ['an unsigned hint', { id_token_hint: 'HINT none' }, 'invalid_request'],
    ["another issuer's hint", { id_token_hint: 'HINT foreign' }, 'invalid_request'],
  ])('is refused: %s', async (_name, parameters, error) => {
    const given = { ...parameters };
    const kind = /^HINT (\w+)$/.exec(given['id_token_hint'] ?? '')?.[1];
    if (kind) given['id_token_hint'] = await hint(kind as 'none');
    // What would have come in the fragment is refused there (OAuth 2.0 Multiple Response Type Encoding Practices §5).
    const mode = /token/.test(given['response_type'] ?? '') ? 'fragment' : 'query';
    await expectRedirect(await authorize(web, given), error, mode);
  });

  it.each(['scope', 'state', 'nonce', 'response_type', 'code_challenge', 'prompt', 'max_age', 'login_hint'])(
    'is refused where %s comes twice',
    async (name) => {
      const url = new URL(authorizationRequest(server, web, { prompt: 'login', max_age: '5' }).url);
      url.searchParams.append(name, url.searchParams.get(name) ?? 'ada');
      url.searchParams.append(name, 'other');
      const response = await person.request(url.href);
      const recorded = await recordedOf(server, response);
      expect(recorded).toMatchObject([
        { type: 'authorization.failed', payload: { error: 'invalid_request' } },
      ]);
      const location = new URL(response.headers.get('location') ?? '');
      expect(location.origin).toBe('https://app.example');
      expect(location.searchParams.get('error')).toBe('invalid_request');
      expect(location.searchParams.get('iss')).toBe(server.issuer);
    },
  );

  it("answers errors in the fragment where that was asked for, and never someone else's way", async () => {
    const asked = await authorize(web, { response_mode: 'fragment', max_age: 'soon' });
    await expectRedirect(asked, 'invalid_request', 'fragment');
  });

  it('never gives a scope that the client may not have', async () => {
    const modest = await registerApplication(server, { scopes: ['openid'] });
    const response = await authorize(modest, { scope: 'openid email roles admin' });
    const location = new URL(response.headers.get('location') ?? '');
    expect(location.searchParams.get('error')).toBe('invalid_scope');
    expect(location.searchParams.get('iss')).toBe(server.issuer);
    expect(location.searchParams.has('code')).toBe(false);
  });

  it('carries iss beside every code (RFC 9207)', async () => {
    for (const mode of ['query', 'fragment'] as const) {
      const response = await authorize(web, { response_mode: mode });
      const location = new URL(response.headers.get('location') ?? '');
      const answer = new URLSearchParams(mode === 'query' ? location.search : location.hash.slice(1));
      expect(answer.get('iss')).toBe(server.issuer);
      expect(answer.get('code')).toMatch(/^ac_/);
    }
  });

  it('writes what it was sent into no form of its own without escaping it', async () => {
    const state = `"><script>alert(1)</script>`;
    const response = await authorize(web, { response_mode: 'form_post', state });
    const html = await response.text();
    expect(response.status).toBe(200);
    expect(html).not.toContain('<script>alert');
    expect(html).toContain('action="https://app.example/callback"');
    expect(html).toContain('name="iss"');
    expect(response.headers.get('cache-control')).toContain('no-store');
    expect(response.headers.get('content-security-policy')).toMatch(/script-src 'self' 'sha256-/);
  });
});

describe('the path', () => {
  it.each([
    ['//evil.example'],
    ['//evil.example/'],
    ['//evil.example/%2e%2e'],
    ['/\\evil.example'],
    ['/%2f%2fevil.example'],
    ['/%5cevil.example'],
    ['/.//evil.example'],
    ['/oauth//evil.example'],
    ['/oauth/authorize/..%2f..%2f/evil.example'],
    ['/interaction//evil.example/'],
    ['/interaction/..//evil.example'],
    ['/oauth/authorize/%00'],
    ['/%E0%A4%A'],
    ['/interaction/%E0%A4%A'],
    ['/assets//evil.example/..'],
    [`/${'a/'.repeat(3000)}/evil.example`],
  ])('%.40s leads nowhere else', async (target) => {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'TRACE', 'PROPFIND']) {
      const answer = await sendRaw(server, { method, target, headers: { accept: 'text/html' } });
      expect(answer.headers.location).toBeUndefined();
      expect([method, answer.status >= 400 && answer.status < 500]).toEqual([method, true]);
      expect(answer.body).not.toMatch(/(href|action)="[^"]*evil/);
    }
  });
});

it('hands the code to nobody but the client that asked', async () => {
  const visited = await person.open(authorizationRequest(server, web).url);
  expect(visited.url.origin).toBe('https://app.example');
  expect(codeOf(visited)).toMatch(/^ac_/);
});
