/** An https issuer below a path, behind a proxy that ends TLS: what differs from http://localhost. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  authorizationRequest,
  codeOf,
  OPERATOR,
  registerApplication,
  registerPerson,
  type Application,
} from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person } from '../../support/person.ts';
import { sendRaw } from '../../support/raw-http.ts';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

const ISSUERS = [
  ['at the root', 'https://id.example', ''],
  ['below a path', 'https://id.example/auth', '/auth'],
] as const;

describe.each(ISSUERS)('an https issuer %s', (_name, issuer, path) => {
  let server: TestServer;
  let application: Application;
  beforeAll(async () => {
    server = await startGatehouse({ env: { GATEHOUSE_ISSUER: issuer } });
    application = await registerApplication(server, { clientUri: 'https://app.example/' });
  });
  afterAll(() => server.stop());

  const browser = (): Person =>
    createPerson(issuer, { connectTo: `http://127.0.0.1:${server.address.port}` });
  const sessionName = path === '' ? '__Host-gatehouse-session' : 'gatehouse-session';

  async function signIn(person = browser()) {
    const credentials = await registerPerson(server);
    const page = await person.open(authorizationRequest(server, application).url);
    const visited = await person.submit(
      page,
      { identifier: credentials.email, password: credentials.password },
      '/login',
    );
    return { person, visited, credentials };
  }

  it('walks from the request to the code', async () => {
    const { visited } = await signIn();
    expect(codeOf(visited)).toMatch(/^ac_/);
    expect(visited.url.searchParams.get('iss')).toBe(issuer);
  });

  it('opens the account of whoever signs in, and knows them there', async () => {
    const person = browser();
    const credentials = await registerPerson(server);
    const page = await person.open(`${issuer}/account`);
    const opened = await person.submit(
      page,
      { identifier: credentials.email, password: credentials.password },
      '/login',
    );
    expect([opened.status, opened.url.href]).toEqual([200, `${issuer}/account/approvals`]);
    expect(opened.html).toContain(credentials.email);
    const start = await browser().request(`${issuer}/account/approvals`);
    expect(start.headers.getSetCookie()[0]).toMatch(
      new RegExp(`^__Secure-gatehouse-account=.*; path=${path}/account; .*samesite=lax; secure; httponly`),
    );
    const home = await person.open(`${issuer}/`);
    expect(home.html).toContain(`href="${path}/account/approvals"`);
  });

  it('sets cookies for https alone, and for this host alone where the path allows', async () => {
    const person = browser();
    const credentials = await registerPerson(server);
    const first = await person.request(authorizationRequest(server, application).url);
    const page = new URL(first.headers.get('location') ?? '', issuer);
    const sent = await person.request(`${page.pathname}/login${page.search}`, {
      method: 'POST',
      headers: FORM,
      body: new URLSearchParams({ identifier: credentials.email, password: credentials.password }),
    });
    const back = await person.request(sent.headers.get('location') ?? '');
    const lines = [first, sent, back].flatMap((response) => response.headers.getSetCookie());
    expect(lines.length).toBeGreaterThan(5);
    for (const line of lines.filter((each) => !/^[^=]+=;/.test(each))) {
      expect(line).toMatch(/; ?secure/i);
      expect(line).toMatch(/; ?httponly/i);
      expect(line).not.toMatch(/domain=/i);
      expect(line).toMatch(new RegExp(`; ?path=${path === '' ? '/' : `${path}(/|;|$)`}`, 'i'));
    }
    const session = lines.find((line) => line.startsWith(`${sessionName}=`)) ?? '';
    expect(session).toMatch(/samesite=none/i);
    expect(session).toMatch(new RegExp(`path=${path || '/'}(;|$)`, 'i'));
    expect(lines.some((line) => line.startsWith(`${sessionName}.sig=`))).toBe(true);
    const device = path === '' ? '__Host-gatehouse-device' : 'gatehouse-device';
    expect(lines.find((line) => line.startsWith(`${device}=`))).toMatch(/samesite=lax/i);
  });

  it('tells browsers to stay with https', async () => {
    for (const target of [`${path}/`, '/nowhere', `${path}/oauth/jwks`]) {
      const answer = await sendRaw(server, { target });
      expect(answer.headers['strict-transport-security']).toMatch(/^max-age=\d{8}/);
    }
  });

  it('takes the authorization request by POST, with its cookies (OIDC Core §3.1.2.1)', async () => {
    const { person } = await signIn();
    const request = new URL(authorizationRequest(server, application).url);
    const response = await person.request(request.pathname, {
      method: 'POST',
      headers: { ...FORM, origin: 'https://app.example', 'sec-fetch-site': 'cross-site' },
      body: request.searchParams,
    });
    expect(response.status).toBe(303);
    expect(response.headers.get('location')).toMatch(/^https:\/\/app\.example\/callback\?code=ac_/);
  });

  it('takes the sign-out by POST, asks, and signs out', async () => {
    const { person } = await signIn();
    const asked = await person.request(`${path}/oauth/logout`, {
      method: 'POST',
      headers: { ...FORM, origin: 'https://app.example', 'sec-fetch-site': 'cross-site' },
      body: new URLSearchParams({ client_id: application.clientId }),
    });
    const html = await asked.text();
    expect(asked.status).toBe(200);
    expect(html).toContain(`action="${issuer}/oauth/logout/confirm"`);
    const done = await person.submit(
      { url: new URL(asked.url), status: 200, headers: asked.headers, html, isAway: false },
      { logout: 'yes' },
      '/logout/confirm',
    );
    expect(done.status).toBe(200);
    expect(done.url.pathname).toBe(`${path}/oauth/logout/success`);
    const visited = await person.open(authorizationRequest(server, application).url);
    expect(visited.html).toContain('name="password"');
  });

  it('keeps every link and form of its pages below its path', async () => {
    const person = browser();
    const page = await person.open(authorizationRequest(server, application).url);
    const wrong = await person.submit(page, { identifier: 'ada', password: 'wrong' }, '/login');
    const stranger = await browser().open(page.url.href);
    const expired = await person.open(`${path}/interaction/gone?client_id=${application.clientId}`);
    const missing = await person.open(`${path}/nowhere`);
    expect([page.status, wrong.status, stranger.status, expired.status, missing.status]).toEqual([
      200, 422, 400, 410, 404,
    ]);
    for (const { html } of [page, wrong, stranger, expired, missing]) {
      const places = [...html.matchAll(/(?:href|src|action)="([^"]*)"/g)].map(([, place]) => place ?? '');
      expect(places.length).toBeGreaterThan(1);
      for (const place of places)
        expect(place).toMatch(new RegExp(`^(${path}/(?:[a-z]|$)|https://app\\.example/)`));
      for (const asset of places.filter((place) => place.includes('/assets/'))) {
        expect((await sendRaw(server, { target: asset })).status).toBe(200);
      }
    }
    // The cookie came with the redirect: only the application can begin again.
    expect(stranger.html).toContain('href="https://app.example/"');
    expect(expired.html).toContain('href="https://app.example/"');
  });

  it('serves its metadata where both standards place them', async () => {
    const places = [
      `${path}/.well-known/openid-configuration`,
      `/.well-known/oauth-authorization-server${path}`,
    ];
    for (const target of places) {
      const answer = await sendRaw(server, { target });
      expect([target, answer.status]).toEqual([target, 200]);
      const metadata = JSON.parse(answer.body) as Record<string, string>;
      expect(metadata['issuer']).toBe(issuer);
      expect(metadata['token_endpoint']).toBe(`${issuer}/oauth/token`);
      expect(metadata['authorization_response_iss_parameter_supported']).toBe(true);
    }
    if (path === '') return;
    expect((await sendRaw(server, { target: '/.well-known/openid-configuration' })).status).toBe(404);
    expect((await sendRaw(server, { target: '/oauth/token', method: 'POST' })).status).toBe(404);
    expect((await sendRaw(server, { target: `${path}evil/oauth/jwks` })).status).toBe(404);
  });

  it('advertises nothing that does not work', async () => {
    const answer = await sendRaw(server, { target: `${path}/.well-known/openid-configuration` });
    const metadata = JSON.parse(answer.body) as Record<string, unknown>;
    expect(metadata).toMatchObject({
      response_types_supported: ['code'],
      code_challenge_methods_supported: ['S256'],
      request_uri_parameter_supported: false,
      scopes_supported: ['openid', 'profile', 'email', 'roles', 'offline_access'],
      acr_values_supported: ['aal1', 'aal2'],
    });
    const text = answer.body;
    for (const word of [
      // In quotes: it is part of the name of a way to encrypt, too.
      '"HS256"',
      'none"',
      'implicit',
      'password',
      'client_secret_jwt',
      'registration_endpoint',
    ]) {
      expect([word, word === 'none"' ? false : text.includes(word)]).toEqual([word, false]);
    }
    expect(metadata['grant_types_supported']).not.toContain('implicit');
  });

  it('asks whoever signs in over somebody else by a page that works without script', async () => {
    const { person } = await signIn();
    const other = await registerPerson(server);
    const page = await person.open(authorizationRequest(server, application, { prompt: 'login' }).url);
    const between = await person.submit(
      page,
      { identifier: other.email, password: other.password },
      '/login',
    );
    expect(between.html).toContain(`action="${issuer}/oauth/logout/confirm"`);
    expect((await person.submit(between, {}, '/logout/confirm')).isAway).toBe(true);
  });

  it('sends machines nothing but answers', async () => {
    const { client, secret } = await server.subjects.clients.create(
      { name: 'Machine', kind: 'machine' },
      OPERATOR,
    );
    const answer = await sendRaw(server, {
      method: 'POST',
      target: `${path}/oauth/token`,
      headers: { ...FORM, authorization: `Basic ${btoa(`${client.clientId}:${secret}`)}` },
      body: 'grant_type=client_credentials',
    });
    expect(answer.status).toBe(200);
    expect(answer.headers['set-cookie']).toBeUndefined();
  });
});

describe('an http issuer', () => {
  it('takes neither request by POST, for no cookie would come with it', async () => {
    const server = await startGatehouse();
    try {
      for (const target of ['/oauth/authorize', '/oauth/logout']) {
        for (const headers of [FORM, { ...FORM, origin: server.issuer }]) {
          const answer = await sendRaw(server, { method: 'POST', target, headers, body: 'client_id=x' });
          expect([target, answer.status]).toEqual([target, 404]);
        }
      }
    } finally {
      await server.stop();
    }
  });
});
