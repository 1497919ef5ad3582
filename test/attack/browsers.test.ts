/**
 * What another site can make a person's browser do (RFC 9700 §4.7, §4.16; OWASP on CSRF and session fixation), and what
 * stolen or altered cookies are worth.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  authorizationRequest,
  authorize,
  codeOf,
  introspect,
  registerApplication,
  registerPerson,
  signedIn,
  type Application,
} from '../support/application.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import { createPerson, type Person } from '../support/person.ts';
import { recordedOf } from '../support/recorded.ts';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

let server: TestServer;
let application: Application;
let skewMs = 0;
beforeAll(async () => {
  server = await startGatehouse({ clock: { now: () => new Date(Date.now() + skewMs) } });
  application = await registerApplication(server, { postLogoutRedirectUris: ['https://app.example/bye'] });
});
afterAll(() => server.stop());

const sessionOf = (person: Person): string | undefined => person.cookies.get('gatehouse-session;/')?.value;

describe('a form of ours', () => {
  const FORMS = [
    'login',
    'totp',
    'recovery-code',
    'enrol',
    'recovery-codes',
    'recovery-codes/renew',
    'access',
    'switch',
    'consent',
  ];
  const FOREIGN: [string, Record<string, string>][] = [
    ['another site', { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }],
    ['a sister site', { 'sec-fetch-site': 'same-site' }],
    ['another site, as an older browser says it', { origin: 'https://evil.example' }],
    ['a hidden origin', { origin: 'null' }],
    ['an origin that only begins alike', { origin: 'ISSUER.evil.example' }],
    ['another port', { origin: 'http://localhost:1' }],
    ['a forged origin that the browser contradicts', { 'sec-fetch-site': 'cross-site', origin: 'ISSUER' }],
    ['a value that no browser sends', { 'sec-fetch-site': 'Same-Origin' }],
  ];

  it.each(FOREIGN)('sent from %s is refused at every step, and nothing was done', async (_name, headers) => {
    const { email, password } = await registerPerson(server);
    const person = createPerson(server.issuer);
    const page = await person.open(authorizationRequest(server, application).url);
    const given = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, value.replace('ISSUER', server.issuer)]),
    );
    for (const form of FORMS) {
      const response = await person.request(`${page.url.pathname}/${form}${page.url.search}`, {
        method: 'POST',
        headers: { ...FORM, ...given },
        body: new URLSearchParams({ identifier: email, password }),
      });
      expect([form, response.status]).toEqual([form, 403]);
      expect(response.headers.get('location')).toBeNull();
      expect(response.headers.getSetCookie()).toEqual([]);
      expect(await recordedOf(server, response)).toMatchObject([
        {
          type: 'request.refused',
          payload: { error: 'cross_site_request', status: 403, route: `/interaction/:id/${form}` },
        },
      ]);
    }
    expect(sessionOf(person)).toBeUndefined();
  });

  it.each([
    ['the page itself', { 'sec-fetch-site': 'same-origin', origin: 'ISSUER' }],
    ['the page, as an older browser says it', { origin: 'ISSUER' }],
    ['the address bar', { 'sec-fetch-site': 'none' }],
  ])('sent from %s is taken', async (_name, headers) => {
    const { email, password } = await registerPerson(server);
    const person = createPerson(server.issuer);
    const page = await person.open(authorizationRequest(server, application).url);
    const response = await person.request(`${page.url.pathname}/login${page.url.search}`, {
      method: 'POST',
      headers: {
        ...FORM,
        ...Object.fromEntries(
          Object.entries(headers).map(([name, value]) => [name, value.replace('ISSUER', server.issuer)]),
        ),
      },
      body: new URLSearchParams({ identifier: email, password }),
    });
    expect(response.status).toBe(303);
  });

  it('with a field that is not its own is refused', async () => {
    const { email, password } = await registerPerson(server);
    const person = createPerson(server.issuer);
    const page = await person.open(authorizationRequest(server, application).url);
    for (const extra of ['accountId', 'acr', 'password_']) {
      const response = await person.request(`${page.url.pathname}/login${page.url.search}`, {
        method: 'POST',
        headers: { ...FORM, accept: 'application/json' },
        body: new URLSearchParams([
          ['identifier', email],
          ['password', password],
          [extra, 'x'],
        ]),
      });
      expect([extra, response.status]).toEqual([extra, 400]);
      expect(await response.json()).toMatchObject({ error: 'form_invalid' });
    }
    const twice = await person.request(`${page.url.pathname}/login${page.url.search}`, {
      method: 'POST',
      headers: FORM,
      body: `identifier=${email}&identifier=other&password=x`,
    });
    expect(twice.status).toBe(400);
  });
});

it('protocol endpoints take requests from anywhere: they carry their own proof', async () => {
  for (const path of ['/oauth/token', '/oauth/revoke', '/oauth/introspect', '/oauth/par']) {
    const response = await fetch(`${server.issuer}${path}`, {
      method: 'POST',
      headers: { ...FORM, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
      body: 'client_id=nobody',
    });
    expect([path, response.status]).not.toEqual([path, 403]);
  }
});

describe('a session', () => {
  it('gets a new name at sign-in, so that nobody can prepare one (fixation)', async () => {
    const { person, credentials } = await signedIn(server);
    const before = new Map(person.cookies);
    const again = await person.open(authorizationRequest(server, application, { prompt: 'login' }).url);
    const { email, password } = credentials;
    const visited = await person.submit(again, { identifier: email, password }, '/login');
    expect(visited.isAway).toBe(true);
    expect(sessionOf(person)).toMatch(/^[\w-]{43}$/);
    expect(sessionOf(person)).not.toBe(before.get('gatehouse-session;/')?.value);
    // The old name stays good for requests under way, two minutes at most, with what it was worth before.
    const prepared = createPerson(server.issuer);
    for (const [key, cookie] of before) prepared.cookies.set(key, cookie);
    skewMs = 180_000;
    const page = await prepared.open(authorizationRequest(server, application).url);
    skewMs = 0;
    expect(page.html).toContain('name="password"');
  });

  it('ends where another person signs in over it', async () => {
    const { person, tokens, application: first } = await signedIn(server, {}, 'openid');
    const before = new Map(person.cookies);
    const { email, password } = await registerPerson(server);
    const again = await person.open(authorizationRequest(server, application, { prompt: 'login' }).url);
    const between = await person.submit(again, { identifier: email, password }, '/login');
    const visited = await person.submit(between, {}, '/logout/confirm');
    expect(visited.isAway).toBe(true);
    expect(sessionOf(person)).not.toBe(before.get('gatehouse-session;/')?.value);
    expect(await introspect(server, first, tokens.refresh_token ?? '')).toEqual({ active: false });
    const prepared = createPerson(server.issuer);
    for (const [key, cookie] of before) prepared.cookies.set(key, cookie);
    const page = await prepared.open(authorizationRequest(server, application).url);
    expect(page.html).toContain('name="password"');
  });

  it('that was never signed in is not taken from whoever brings one', async () => {
    const person = createPerson(server.issuer);
    person.cookies.set('gatehouse-session;/', { value: 'x'.repeat(43), path: '/' });
    person.cookies.set('gatehouse-session.sig;/', { value: 'y'.repeat(27), path: '/' });
    const { email, password } = await registerPerson(server);
    const visited = await authorize(person, authorizationRequest(server, application), { email, password });
    expect(codeOf(visited)).toMatch(/^ac_/);
    expect(sessionOf(person)).not.toBe('x'.repeat(43));
  });

  it.each<[string, (person: Person, other: Person) => void]>([
    ['an altered value', (person) => alter(person, 'gatehouse-session;/')],
    ['an altered signature', (person) => alter(person, 'gatehouse-session.sig;/')],
    ['no signature', (person) => person.cookies.delete('gatehouse-session.sig;/')],
    [
      'an empty signature',
      (person) => person.cookies.set('gatehouse-session.sig;/', { value: '', path: '/' }),
    ],
    [
      "another session's value under this signature",
      (person, other) => person.cookies.set('gatehouse-session;/', other.cookies.get('gatehouse-session;/')!),
    ],
    [
      'the signature of another cookie',
      (person) =>
        person.cookies.set('gatehouse-session.sig;/', person.cookies.get('gatehouse-device.sig;/')!),
    ],
    [
      'the value of another cookie',
      (person) => {
        person.cookies.set('gatehouse-session;/', person.cookies.get('gatehouse-device;/')!);
        person.cookies.set('gatehouse-session.sig;/', person.cookies.get('gatehouse-device.sig;/')!);
      },
    ],
  ])('is worth nothing with %s', async (_name, change) => {
    const [{ person }, { person: other }] = [await signedIn(server), await signedIn(server)];
    change(person, other);
    const visited = await person.open(authorizationRequest(server, application).url);
    expect(visited.html).toContain('name="password"');
  });

  it('of a disabled account is worth nothing', async () => {
    const { person, credentials } = await signedIn(server);
    await server.subjects.accounts.disable(credentials.account.id, { kind: 'operator', name: 'test' });
    await server.subjects.revocations.refresh();
    const visited = await person.open(authorizationRequest(server, application).url);
    expect(visited.isAway).toBe(false);
    expect(visited.html).toContain('name="password"');
  });
});

function alter(person: Person, key: string): void {
  const cookie = person.cookies.get(key);
  if (!cookie) throw new Error(`there is no cookie ${key}`);
  const last = cookie.value.at(-2) === 'A' ? 'B' : 'A';
  person.cookies.set(key, { ...cookie, value: cookie.value.slice(0, -2) + last + cookie.value.slice(-1) });
}

describe('an interaction', () => {
  it('of another browser is of no use to whoever knows its address', async () => {
    const { email, password } = await registerPerson(server);
    const victim = createPerson(server.issuer);
    const page = await victim.open(authorizationRequest(server, application).url);
    const thief = createPerson(server.issuer);
    const seen = await thief.open(page.url.href);
    expect([seen.status, seen.html.includes('<form')]).toEqual([400, false]);
    const sent = await thief.request(`${page.url.pathname}/login${page.url.search}`, {
      method: 'POST',
      headers: FORM,
      body: new URLSearchParams({ identifier: email, password }),
    });
    expect([sent.status, sent.headers.getSetCookie()]).toEqual([400, []]);
    // The same with an interaction of one's own: its cookie opens no other.
    const own = await thief.open(authorizationRequest(server, application).url);
    const [key, cookie] = [...thief.cookies].find(([name]) => name.startsWith('gatehouse-interaction;'))!;
    expect(key).toContain(own.url.pathname);
    const signature = thief.cookies.get(key.replace(';', '.sig;'))!;
    thief.cookies.set(`gatehouse-interaction;${page.url.pathname}`, { ...cookie, path: page.url.pathname });
    thief.cookies.set(`gatehouse-interaction.sig;${page.url.pathname}`, {
      ...signature,
      path: page.url.pathname,
    });
    expect((await thief.open(page.url.href)).status).toBe(410);
  });

  it('that was begun elsewhere cannot be finished in another browser (login CSRF)', async () => {
    const attacker = createPerson(server.issuer);
    const mine = await registerPerson(server);
    const page = await attacker.open(authorizationRequest(server, application).url);
    const sent = await attacker.request(`${page.url.pathname}/login${page.url.search}`, {
      method: 'POST',
      headers: FORM,
      body: new URLSearchParams({ identifier: mine.email, password: mine.password }),
    });
    const resume = sent.headers.get('location') ?? '';
    expect(resume).toContain('/oauth/authorize/');
    const victim = createPerson(server.issuer);
    const visited = await victim.open(resume);
    expect([visited.status, visited.isAway]).toEqual([410, false]);
    expect(sessionOf(victim)).toBeUndefined();
  });
});
