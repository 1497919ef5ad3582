import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import { pino } from 'pino';

import { demoClients, type DemoPorts } from '../../../src/demo/applications.ts';
import { chooseDemoPorts, startDemo, type Demo } from '../../../src/demo/server.ts';
import { freePort } from '../../support/ports.ts';
import { createWebBrowser, textOf } from './web-browser.ts';

const logger = pino({ level: 'silent' });
const secrets = { 'demo-ledger': 'ledger-secret', 'demo-atlas': 'atlas-secret' };

let demo: Demo;
let ports: DemoPorts;
let issuerPort: number;
let ledger: string;

beforeAll(async () => {
  issuerPort = await freePort(3);
  ports = await chooseDemoPorts({ ledger: issuerPort + 1, atlas: issuerPort + 2 });
  ledger = `http://127.0.0.1:${ports.ledger}`;
  demo = await start(ports);
});

afterAll(async () => {
  await demo.close();
});

function start(at: DemoPorts): Promise<Demo> {
  const issuer = `http://localhost:${issuerPort}`;
  return startDemo({ issuer, secrets, ports: at, branding: { name: 'Gatehouse' }, logger });
}

describe('the home page', () => {
  it('of each application offers the sign-in and leads to the other', async () => {
    const [first, second] = demo.applications.map(({ url }) => url) as [string, string];
    const pages = await Promise.all([first, second].map((url) => createWebBrowser().open(url)));
    expect(pages.map((page) => textOf(page))).toEqual([
      expect.stringContaining('Sign in with Gatehouse'),
      expect.stringContaining('Sign in with Gatehouse'),
    ]);
    expect(pages[0]?.html).toContain(`href="${second}"`);
    expect(pages[1]?.html).toContain(`href="${first}"`);
  });

  it('has the headers of our own pages and loads its own style sheet', async () => {
    const page = await createWebBrowser().open(`${ledger}/`);
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(page.headers.get('x-frame-options')).toBe('DENY');
    expect(page.headers.get('cache-control')).toBe('no-store');
    expect(page.headers.get('x-request-id')).toMatch(/^[\w-]{36}$/);
    const styles = /href="(\/assets\/[^"]+\.css)"/.exec(page.html)?.[1] ?? '';
    const sheet = await fetch(`${ledger}${styles}`);
    expect(sheet.headers.get('content-type')).toContain('text/css');
  });

  it('is opened by its own address: by another the cookie would be lost on the way back', async () => {
    const page = await createWebBrowser().request(`http://localhost:${ports.ledger}/login?prompt=none`);
    expect([page.status, page.headers.get('location')]).toEqual([302, `${ledger}/`]);
  });

  it('answers an address that it does not have with a page', async () => {
    const page = await createWebBrowser().open(`${ledger}/nowhere`);
    expect([page.status, textOf(page)]).toEqual([404, expect.stringContaining('There is nothing here')]);
  });
});

describe('a form that another site sends', () => {
  it.each([
    ['cross-site', { 'sec-fetch-site': 'cross-site' }],
    ['from another port of this host', { 'sec-fetch-site': 'same-site' }],
    ['by an old browser', { origin: 'https://evil.example' }],
    ['from the other application', { origin: 'http://127.0.0.1:1' }],
  ])('is refused: %s', async (_, headers) => {
    for (const path of ['/sign-in', '/step-up', '/refresh', '/sign-out']) {
      const response = await createWebBrowser().request(`${ledger}${path}`, { method: 'POST', headers });
      expect([path, response.status]).toEqual([path, 403]);
      expect(response.headers.getSetCookie()).toEqual([]);
    }
  });

  it('is refused under another name of this host', async () => {
    const response = await fetch(`http://localhost:${ports.ledger}/sign-in`, { method: 'POST' });
    expect(response.status).toBe(403);
  });
});

describe('a link to /login', () => {
  it.each([
    ['another issuer', 'iss=https://evil.example', 'does not sign in there'],
    ['the issuer in another spelling', `iss=http://LOCALHOST`, 'does not sign in there'],
    ['two issuers', 'iss=a&iss=b', 'not complete'],
    ['an unknown prompt', 'prompt=consent', 'not complete'],
  ])('that names %s is refused', async (_, query, words) => {
    const page = await createWebBrowser().open(`${ledger}/login?${query}`);
    expect([page.status, page.visited.length]).toEqual([400, 1]);
    expect(textOf(page)).toContain(words);
  });
});

describe('a callback', () => {
  it.each([
    ['without anything', ''],
    ['with a forged state', '?code=abc&state=forged'],
    ['with two states', '?code=abc&state=a&state=b'],
    ['with a forged error', '?error=access_denied&state=forged&error_description=<script>alert(1)</script>'],
  ])('%s is refused', async (_, query) => {
    const page = await createWebBrowser().open(`${ledger}/callback${query}`);
    expect(page.status).toBe(400);
    expect(textOf(page)).toContain('This sign-in was not started here');
    expect(page.html).toContain('href="/login"');
    expect(page.html).not.toContain('<script>alert');
  });
});

describe('the way back from a sign-out', () => {
  it('says nothing where nobody signed out', async () => {
    const page = await createWebBrowser().open(`${ledger}/signed-out?state=forged`);
    expect(page.url.href).toBe(`${ledger}/`);
    expect(textOf(page)).not.toContain('signed out');
  });
});

describe('an issuer that is not there', () => {
  it('is named on a page with a reference, and nothing of the cause', async () => {
    const browser = createWebBrowser();
    const page = await browser.press(await browser.open(`${ledger}/`), '/sign-in');
    expect(page.status).toBe(502);
    expect(textOf(page)).toContain('Gatehouse cannot be reached');
    expect(page.html).not.toMatch(/ECONNREFUSED|node_modules|at async/);
  });

  it('is asked again at the next try', async () => {
    const broken = await listen((_, response) => response.writeHead(500).end('no'));
    const page = await createWebBrowser().open(`${ledger}/login`);
    await close(broken);
    expect([page.status, textOf(page)]).toEqual([503, expect.stringContaining('cannot answer now')]);

    const issuer = `http://localhost:${issuerPort}`;
    const metadata = { issuer, authorization_endpoint: `${issuer}/authorize` };
    const working = await listen((_, response) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(metadata)),
    );
    const response = await createWebBrowser().request(`${ledger}/login`);
    await close(working);
    expect(response.headers.get('location')).toContain(`${issuer}/authorize?`);
  });
});

describe('the ports', () => {
  it('that are taken are passed over, and no port is given twice', async () => {
    const { ledger: first, atlas } = await chooseDemoPorts({ ledger: ports.ledger, atlas: ports.ledger });
    expect(first).toBeGreaterThan(ports.ledger);
    expect(atlas).toBeGreaterThan(ports.ledger);
    expect(atlas).not.toBe(first);
  });

  it('past the last one are found anywhere', async () => {
    const chosen = await chooseDemoPorts({ ledger: 65_536, atlas: 65_537 });
    expect(chosen.ledger).toBeLessThan(65_536);
  });

  it('are all given back where one was taken meanwhile', async () => {
    const free = await freePort();
    await expect(start({ ledger: free, atlas: ports.atlas })).rejects.toThrow('EADDRINUSE');
    expect(await chooseDemoPorts({ ledger: free, atlas: free + 1 })).toMatchObject({ ledger: free });
  });

  it('make the addresses that are registered', () => {
    const [first] = demoClients({ ledger: 4001, atlas: 4002 });
    expect(first).toMatchObject({
      redirectUri: 'http://127.0.0.1:4001/callback',
      postLogoutRedirectUri: 'http://127.0.0.1:4001/signed-out',
      initiateLoginUri: 'http://127.0.0.1:4001/login',
    });
  });
});

function listen(handler: Parameters<typeof createServer>[1]): Promise<Server> {
  const server = createServer(handler);
  return new Promise((resolve) => {
    server.listen(issuerPort, 'localhost', () => resolve(server));
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
