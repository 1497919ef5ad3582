/** Signing somebody out against their will, or sending them astray with it (OIDC RP-Initiated Logout §6). */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type CryptoKey, decodeJwt, decodeProtectedHeader, generateKeyPair, SignJWT } from 'jose';

import {
  authorizationRequest,
  introspect,
  registerApplication,
  signedIn,
  type Application,
} from '../support/application.ts';
import { createShiftedClock } from '../support/clock.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import { createPerson, type Person } from '../support/person.ts';
import { recordedOf } from '../support/recorded.ts';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

let server: TestServer;
let application: Application;
const clock = createShiftedClock();
beforeAll(async () => {
  server = await startGatehouse({ clock });
  application = await registerApplication(server, { postLogoutRedirectUris: ['https://app.example/bye'] });
});
afterAll(() => server.stop());

describe('signing out', () => {
  it('by a link from another site only asks', async () => {
    const { person } = await signedIn(server);
    for (const url of [
      `${server.issuer}/oauth/logout`,
      `${server.issuer}/oauth/logout?post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fbye&client_id=${application.clientId}`,
    ]) {
      const page = await person.open(url);
      expect([page.status, page.html.includes('<form')]).toEqual([200, true]);
      const visited = await person.open(authorizationRequest(server, application).url);
      expect(visited.isAway).toBe(true);
    }
  });

  it.each([
    ['no proof', {}],
    ['a guessed proof', { xsrf: 'x'.repeat(43), logout: 'yes' }],
    ['an empty proof', { xsrf: '', logout: 'yes' }],
  ])('is refused with %s', async (_name, fields) => {
    const { person } = await signedIn(server);
    await person.open(`${server.issuer}/oauth/logout`);
    const response = await person.request(`${server.issuer}/oauth/logout/confirm`, {
      method: 'POST',
      headers: FORM,
      body: new URLSearchParams(fields as Record<string, string>),
    });
    expect(response.status).toBe(400);
    expect(await recordedOf(server, response)).toMatchObject([{ type: 'session.end_refused' }]);
    expect((await person.open(authorizationRequest(server, application).url)).isAway).toBe(true);
  });

  it("is refused with another session's proof", async () => {
    const [{ person }, { person: other }] = [await signedIn(server), await signedIn(server)];
    await person.open(`${server.issuer}/oauth/logout`);
    const theirs = await other.open(`${server.issuer}/oauth/logout`);
    const xsrf = /name="xsrf"[^>]*value="([^"]+)"|value="([^"]+)"[^>]*name="xsrf"/.exec(theirs.html);
    const response = await person.request(`${server.issuer}/oauth/logout/confirm`, {
      method: 'POST',
      headers: FORM,
      body: new URLSearchParams({ xsrf: xsrf?.[1] ?? xsrf?.[2] ?? '', logout: 'yes' }),
    });
    expect(response.status).toBe(400);
    expect((await person.open(authorizationRequest(server, application).url)).isAway).toBe(true);
  });

  it.each([
    ['another host', 'https://evil.example/bye'],
    ['a host that only begins alike', 'https://app.example.evil.example/bye'],
    ['a longer path', 'https://app.example/bye/evil'],
    ['a query', 'https://app.example/bye?next=https://evil.example'],
    ['user information', 'https://app.example@evil.example/bye'],
    ['a script', 'javascript:alert(1)'],
    ['no scheme', '//evil.example'],
    ["the sign-in's address", 'https://app.example/callback'],
  ])('leads nowhere with %s', async (_name, uri) => {
    const { person } = await signedIn(server);
    const query = new URLSearchParams({ client_id: application.clientId, post_logout_redirect_uri: uri });
    const response = await person.request(`${server.issuer}/oauth/logout?${query.toString()}`);
    expect([response.status, response.headers.get('location')]).toEqual([400, null]);
    const html = await response.text();
    expect(html).not.toMatch(/(href|action|src|content)="[^"]*evil/);
    expect(await recordedOf(server, response)).toMatchObject([
      { type: 'session.end_refused', payload: { error: 'invalid_request' } },
    ]);
    // Whoever wanted to sign out can do so all the same.
    expect(html).toContain('You are still signed in');
    expect(html).toContain(`href="${server.issuer}/oauth/logout"`);
  });

  describe('with an ID token as hint', () => {
    const open = (person: Person, parameters: Record<string, string>) =>
      person.request(`${server.issuer}/oauth/logout?${new URLSearchParams(parameters).toString()}`);

    it.each([
      ['of another issuer', async (token: string) => resigned(token, await foreignKey())],
      ['that nobody signed', async (token: string) => unsigned(token)],
      ['whose person was exchanged', async (token: string) => altered(token, { sub: 'somebody-else' })],
      ['that is no token', async () => 'nonsense'],
    ])('%s is refused, and recorded', async (_what, forge) => {
      const { person, tokens } = await signedIn(server, {}, 'openid');
      const response = await open(person, { id_token_hint: await forge(tokens.id_token ?? '') });
      expect([response.status, response.headers.get('location')]).toEqual([400, null]);
      expect(await recordedOf(server, response)).toMatchObject([{ type: 'session.end_refused' }]);
      expect((await person.open(authorizationRequest(server, application).url)).isAway).toBe(true);
    });

    it("of one client is not another's, and vouches for that client's addresses alone", async () => {
      const { person, tokens, application: own } = await signedIn(server, {}, 'openid');
      const hint = { id_token_hint: tokens.id_token ?? '' };
      for (const parameters of [
        { client_id: application.clientId },
        { post_logout_redirect_uri: 'https://app.example/bye' },
        { client_id: application.clientId, post_logout_redirect_uri: 'https://app.example/bye' },
      ]) {
        const response = await open(person, { ...hint, ...parameters });
        expect([response.status, response.headers.get('location')]).toEqual([400, null]);
      }
      expect((await open(person, { ...hint, client_id: own.clientId })).status).toBe(200);
    });

    it('that has expired is taken, asks all the same, and leads back with the state', async () => {
      const { person, tokens } = await signedIn(
        server,
        { postLogoutRedirectUris: ['https://app.example/bye'] },
        'openid',
      );
      clock.advanceSeconds(3_600);
      const query = new URLSearchParams({
        id_token_hint: tokens.id_token ?? '',
        logout_hint: 'ada@example.test',
        post_logout_redirect_uri: 'https://app.example/bye',
        state: 'a state',
      });
      const page = await person.open(`${server.issuer}/oauth/logout?${query.toString()}`);
      expect([page.status, page.html.includes('<form')]).toEqual([200, true]);
      const done = await person.submit(page, { logout: 'yes' }, '/logout/confirm');
      expect(done.url.href).toBe('https://app.example/bye?state=a+state');
    });

    it('of somebody else asks whoever is here, and ends no other session', async () => {
      const [{ tokens, person: other, application: theirs }, { person }] = [
        await signedIn(server, {}, 'openid'),
        await signedIn(server),
      ];
      const query = new URLSearchParams({ id_token_hint: tokens.id_token ?? '' });
      const page = await person.open(`${server.issuer}/oauth/logout?${query.toString()}`);
      expect([page.status, page.html.includes('<form')]).toEqual([200, true]);
      await person.submit(page, { logout: 'yes' }, '/logout/confirm');
      expect((await other.open(authorizationRequest(server, theirs).url)).isAway).toBe(true);
    });
  });

  it('leads nowhere without a client to vouch for the address', async () => {
    const response = await fetch(
      `${server.issuer}/oauth/logout?post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fbye`,
      { headers: { accept: 'text/html' }, redirect: 'manual' },
    );
    expect(response.headers.get('location')).toBeNull();
  });

  it('by whoever is not signed in says so, and not that they still are', async () => {
    const query = new URLSearchParams({
      client_id: application.clientId,
      post_logout_redirect_uri: 'https://evil.example/bye',
    });
    const page = await createPerson(server.issuer).open(`${server.issuer}/oauth/logout?${query.toString()}`);
    expect([page.isAway, page.status]).toEqual([false, 400]);
    expect(page.html).toContain('You are not signed in here');
  });

  it('ends the session for good, also for a copy of its cookies', async () => {
    const { person, tokens, application: app } = await signedIn(server, {}, 'openid');
    const copy = createPerson(server.issuer);
    for (const [key, cookie] of person.cookies) copy.cookies.set(key, cookie);
    const page = await person.open(`${server.issuer}/oauth/logout`);
    const done = await person.submit(page, { logout: 'yes' }, '/logout/confirm');
    expect(done.status).toBe(200);
    for (const who of [person, copy]) {
      const visited = await who.open(authorizationRequest(server, application).url);
      expect(visited.html).toContain('name="password"');
    }
    expect(await introspect(server, app, tokens.refresh_token ?? '')).toEqual({ active: false });
  });
});

const foreignKey = async (): Promise<CryptoKey> => (await generateKeyPair('RS256')).privateKey;

/** The same claims under the same `kid`, by a key of somebody's own. */
function resigned(token: string, key: CryptoKey): Promise<string> {
  const { kid = '' } = decodeProtectedHeader(token);
  return new SignJWT(decodeJwt(token)).setProtectedHeader({ alg: 'RS256', kid }).sign(key);
}

function unsigned(token: string): string {
  const header = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
  return `${header}.${token.split('.')[1]}.`;
}

function altered(token: string, claims: object): string {
  const [header, , signature] = token.split('.');
  const payload = Buffer.from(JSON.stringify({ ...decodeJwt(token), ...claims })).toString('base64url');
  return `${header}.${payload}.${signature}`;
}
