import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { generate } from 'otplib';
import { pino } from 'pino';

import { demoClients, type DemoPorts } from '../../../src/demo/applications.ts';
import { chooseDemoPorts, startDemo, type Demo } from '../../../src/demo/server.ts';
import { randomToken } from '../../../src/platform/ids.ts';
import { OPERATOR, registerPerson } from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { freePort } from '../../support/ports.ts';
import { createWebBrowser, shownJson, textOf, type WebBrowser, type WebPage } from './web-browser.ts';

type Person = Awaited<ReturnType<typeof registerPerson>>;

let server: TestServer;
let demo: Demo;
let ledger: string;
let atlas: string;

beforeAll(async () => {
  server = await startGatehouse({ env: { GATEHOUSE_DEMO: 'false' } });
  const preferred = await freePort(2);
  const ports = await chooseDemoPorts({ ledger: preferred, atlas: preferred + 1 });
  const secrets = await registerDemo(ports);
  demo = await startDemo({
    issuer: server.issuer,
    secrets,
    ports,
    branding: { name: 'Gatehouse' },
    logger: pino({ level: 'silent' }),
  });
  [ledger = '', atlas = ''] = demo.applications.map(({ url }) => url);
});

afterAll(async () => {
  await demo.close();
  await server.stop();
});

/** As the server registers them, both without a consent page. */
async function registerDemo(ports: DemoPorts): Promise<Record<string, string>> {
  const secrets: Record<string, string> = {};
  for (const client of demoClients(ports)) {
    const { secret = '' } = await server.subjects.clients.create(
      {
        clientId: client.clientId,
        name: client.name,
        kind: 'web',
        firstParty: true,
        redirectUris: [client.redirectUri],
        postLogoutRedirectUris: [client.postLogoutRedirectUri],
        initiateLoginUri: client.initiateLoginUri,
        clientUri: client.clientUri,
        scopes: client.scopes,
      },
      OPERATOR,
    );
    secrets[client.clientId] = secret;
  }
  return secrets;
}

/** From an application's home through the password page to its page of somebody signed in. */
async function signIn(browser: WebBrowser, home: string, { email, password }: Person): Promise<WebPage> {
  const form = await browser.press(await browser.open(home), '/sign-in');
  return browser.press(form, '/login', { identifier: email, password });
}

/** A browser in which somebody new has signed in to an application. */
async function signedIn(home = ledger): Promise<{ browser: WebBrowser; page: WebPage; person: Person }> {
  const browser = createWebBrowser();
  const person = await registerPerson(server);
  return { browser, person, page: await signIn(browser, home, person) };
}

/** Presses "Sign out" here and at the issuer. */
async function signOut(browser: WebBrowser, page: WebPage): Promise<WebPage> {
  return browser.press(await browser.press(page, '/sign-out'), '/logout', { logout: 'yes' });
}

/** Up to the callback, whose request is not sent. */
async function stopBeforeCallback(browser: WebBrowser, start: string): Promise<URL> {
  let url = new URL(start);
  for (let hop = 0; hop < 10; hop += 1) {
    if (url.pathname === '/callback') return url;
    const response = await browser.request(url.href);
    url = new URL(response.headers.get('location') ?? '', url);
  }
  throw new Error(`no callback after ${url.href}`);
}

describe('a sign-in', () => {
  it('ends on a page with the validated ID token and userinfo', async () => {
    const { account, ...credentials } = await registerPerson(server);
    await server.subjects.rbac.createRole({ name: 'bookkeeper' }, OPERATOR);
    await server.subjects.rbac.grantRole(account.id, 'bookkeeper', OPERATOR);
    const page = await signIn(createWebBrowser(), ledger, { account, ...credentials });
    expect(page.url.href).toBe(ledger);
    const [claims, userinfo] = shownJson(page);
    expect(claims).toMatchObject({
      iss: server.issuer,
      sub: account.sub,
      aud: 'demo-ledger',
      roles: ['bookkeeper'],
      amr: ['pwd'],
      acr: 'aal1',
    });
    expect(userinfo).toMatchObject({ sub: account.sub, email: account.email, roles: ['bookkeeper'] });
    expect(textOf(page)).toContain('bookkeeper');
  });

  it('asks by PKCE S256, with a state and a nonce of its own each time', async () => {
    const asked = await Promise.all(
      [1, 2].map(async () => {
        const { headers } = await createWebBrowser().request(`${ledger}login`);
        return new URL(headers.get('location') ?? '').searchParams;
      }),
    );
    const [first, second] = asked as [URLSearchParams, URLSearchParams];
    expect(first.get('code_challenge_method')).toBe('S256');
    for (const name of ['state', 'nonce', 'code_challenge']) {
      expect(first.get(name)).toMatch(/^[\w-]{43}$/);
      expect(first.get(name)).not.toBe(second.get(name));
    }
  });

  it('of the second application needs no question', async () => {
    const { browser, person } = await signedIn(ledger);
    const page = await browser.press(await browser.open(atlas), '/sign-in');
    expect(page.url.href).toBe(atlas);
    expect(shownJson(page)[0]).toMatchObject({ sub: person.account.sub, aud: 'demo-atlas' });
  });

  it('of the second application is one link away from the first', async () => {
    const { browser, page, person } = await signedIn(ledger);
    expect(page.html).toContain(`href="${atlas}login"`);
    const second = await browser.open(`${atlas}login`);
    expect(shownJson(second)[0]).toMatchObject({ sub: person.account.sub, aud: 'demo-atlas' });
  });

  it('can be started elsewhere, for this issuer', async () => {
    const { browser } = await signedIn(ledger);
    const page = await browser.open(`${atlas}login?iss=${encodeURIComponent(server.issuer)}`);
    expect(textOf(page)).toContain('You are signed in');
  });

  it('gives each application a cookie of its own, with a new id', async () => {
    const browser = createWebBrowser();
    const person = await registerPerson(server);
    const start = await browser.request(`${ledger}login`);
    expect(start.headers.getSetCookie()).toEqual([
      expect.stringMatching(/^demo-ledger=[\w-]{43}; path=\/; samesite=lax; httponly$/i),
    ]);
    const before = browser.cookies.get('127.0.0.1')?.get('demo-ledger');
    await signIn(browser, ledger, person);
    await browser.open(`${atlas}login`);
    expect([...(browser.cookies.get('127.0.0.1')?.keys() ?? [])]).toEqual(['demo-ledger', 'demo-atlas']);
    expect(browser.cookies.get('127.0.0.1')?.get('demo-ledger')).not.toBe(before);
  });

  it('adopts no id that somebody planted in the browser', async () => {
    const browser = createWebBrowser();
    const planted = randomToken();
    browser.cookies.set('127.0.0.1', new Map([['demo-ledger', planted]]));
    await signIn(browser, ledger, await registerPerson(server));
    expect(browser.cookies.get('127.0.0.1')?.get('demo-ledger')).not.toBe(planted);
  });

  it('that nobody allows is told in words', async () => {
    const client = await server.subjects.clients.get('demo-atlas');
    await server.subjects.clients.update(client.clientId, { firstParty: false, consent: 'once' }, OPERATOR);
    const { browser } = await signedIn(ledger);
    const question = await browser.press(await browser.open(atlas), '/sign-in');
    const page = await browser.press(question, '/consent', { decision: 'deny' });
    await server.subjects.clients.update(client.clientId, { firstParty: true, consent: 'never' }, OPERATOR);
    expect([page.status, page.url.origin]).toEqual([403, new URL(atlas).origin]);
    expect(textOf(page)).toContain('You were not signed in');
  });
});

describe('a callback', () => {
  it('of another browser is refused, and signs nobody in', async () => {
    const { browser } = await signedIn();
    const stolen = await stopBeforeCallback(browser, `${atlas}login`);
    const victim = createWebBrowser();
    await victim.request(`${atlas}login`);
    const page = await victim.open(stolen.href);
    expect([page.status, textOf(page)]).toEqual([400, expect.stringContaining('not started here')]);
    expect(textOf(await victim.open(atlas))).toContain('Welcome to Atlas');
  });

  it('that names another issuer is refused', async () => {
    const { browser } = await signedIn();
    const callback = await stopBeforeCallback(browser, `${atlas}login`);
    callback.searchParams.set('iss', 'https://evil.example');
    const page = await browser.open(callback.href);
    expect([page.status, textOf(page)]).toEqual([502, expect.stringContaining('was refused')]);
    expect(textOf(await browser.open(atlas))).toContain('Welcome to Atlas');
  });

  it('with the code of another sign-in is refused', async () => {
    const { browser } = await signedIn();
    const other = await signedIn();
    const [callback, foreign] = await Promise.all([
      stopBeforeCallback(browser, `${atlas}login`),
      stopBeforeCallback(other.browser, `${atlas}login`),
    ]);
    callback.searchParams.set('code', foreign.searchParams.get('code') ?? '');
    const page = await browser.open(callback.href);
    expect([page.status, textOf(page)]).toEqual([400, expect.stringContaining('was used already')]);
  });

  it('that comes again leaves whoever is signed in', async () => {
    const { browser, person } = await signedIn();
    const callback = await stopBeforeCallback(browser, `${atlas}login`);
    await browser.open(callback.href);
    const page = await browser.open(callback.href);
    expect(shownJson(page)[0]).toMatchObject({ sub: person.account.sub });
  });
});

describe('somebody signed in', () => {
  it('refreshes the tokens', async () => {
    const { browser, page } = await signedIn();
    const refreshed = await browser.press(page, '/refresh');
    expect(textOf(refreshed)).toContain('The tokens were refreshed');
    const [before, after] = [page, refreshed].map((shown) => shownJson(shown)[0]);
    expect(after?.['sub']).toBe(before?.['sub']);
    expect(refreshed.visited.map(({ host }) => host)).not.toContain(new URL(server.issuer).host);
  });

  it('is told where the issuer ended the sign-in', async () => {
    const { browser, page, person } = await signedIn();
    await server.subjects.accounts.disable(person.account.id, OPERATOR);
    const refused = await browser.press(page, '/refresh');
    expect(textOf(refused)).toContain('Your sign-in at Gatehouse has ended');
    expect(textOf(refused)).toContain('Welcome to Ledger');
  });

  it('adds a second step, which the page then shows', async () => {
    const { browser, page } = await signedIn();
    const enrol = await browser.press(page, '/step-up');
    const key = /data-copy="([^"]+)"/.exec(enrol.html)?.[1] ?? '';
    const codes = await browser.press(enrol, '/enrol', { code: await generate({ secret: key }) });
    const done = await browser.press(codes, '/recovery-codes');
    expect(textOf(done)).toContain('Gatehouse confirmed a second step');
    expect(shownJson(done)[0]).toMatchObject({ acr: 'aal2', amr: ['pwd', 'otp', 'mfa'] });
    expect(done.html).not.toContain('/step-up');
  });

  it('is confirmed by the issuer when the page is opened again, without a question', async () => {
    const { browser, person } = await signedIn();
    const page = await browser.open(ledger);
    expect(page.visited.map(({ host }) => host)).toContain(new URL(server.issuer).host);
    expect(shownJson(page)[0]).toMatchObject({ sub: person.account.sub });
  });

  it('stays themselves in two tabs that are opened at once', async () => {
    const { browser, person } = await signedIn();
    const tabs = await Promise.all([browser.open(ledger), browser.open(ledger), browser.open(ledger)]);
    for (const tab of tabs) expect(tab.status).toBe(200);
    expect(shownJson(await browser.open(ledger))[0]).toMatchObject({ sub: person.account.sub });
  });
});

describe('a sign-out', () => {
  it('comes back to the home page, which says so', async () => {
    const { browser, page } = await signedIn();
    const home = await signOut(browser, page);
    expect(home.url.href).toBe(ledger);
    expect(textOf(home)).toContain('You are signed out of Ledger');
    expect(textOf(await browser.open(ledger))).not.toContain('You are signed out');
  });

  it('takes the refresh token along', async () => {
    const { browser, page } = await signedIn();
    await signOut(browser, page);
    const { events } = await server.subjects.audit.list({ clientId: 'demo-ledger', limit: 20 });
    expect(events.map(({ type }) => type)).toContain('token.revoked');
  });

  it.each([
    ['Ledger', () => [ledger, atlas]],
    ['Atlas', () => [atlas, ledger]],
  ])('of %s leaves neither application to sign in silently', async (_, homes) => {
    const [here = '', there = ''] = homes();
    const { browser } = await signedIn(there);
    await signOut(browser, await browser.press(await browser.open(here), '/sign-in'));
    const elsewhere = textOf(await browser.open(there));
    expect(elsewhere).toContain('Your sign-in at Gatehouse has ended');
    for (const home of [here, there]) {
      const silent = await browser.open(`${home}login?prompt=none`);
      expect(silent.url.href).toBe(home);
      expect(textOf(silent)).toContain('Nobody is signed in at Gatehouse');
      const asked = await browser.press(silent, '/sign-in');
      expect(asked.html).toContain('name="password"');
    }
  });

  it('that the person breaks off leaves them signed in at the issuer alone', async () => {
    const { browser, page } = await signedIn();
    const home = await browser.press(await browser.press(page, '/sign-out'), '/logout');
    expect(textOf(home)).toContain('You are signed out of Ledger');
    const silent = await browser.open(`${ledger}login?prompt=none`);
    expect(textOf(silent)).toContain('signed you in without a question');
  });
});
