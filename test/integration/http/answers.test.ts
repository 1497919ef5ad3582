/** What every answer carries: the request's id, the headers around it, and an error page that leaks nothing. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import {
  authorizationRequest,
  authorize,
  basicOf,
  codeOf,
  redeem,
  registerApplication,
  registerPerson,
  type Application,
} from '../../support/application.ts';
import { createDatabaseProxy, type DatabaseProxy } from '../../support/database-proxy.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';
import { recordedOf } from '../../support/recorded.ts';
import { sendRaw } from '../../support/raw-http.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const INSIDE =
  /node_modules|\.ts:\d+|\bat async\b|\bselect\b .*\bfrom\b|\binsert into\b|ECONNREFUSED|postgres:/i;

describe('the request id', () => {
  let trusting: TestServer;
  let wary: TestServer;
  beforeAll(async () => {
    wary = await startGatehouse({ env: { GATEHOUSE_TRUSTED_PROXIES: '192.0.2.0/24' } });
    trusting = await startGatehouse({ env: { GATEHOUSE_TRUSTED_PROXIES: '127.0.0.0/8,::1' } });
  });
  afterAll(async () => {
    await wary.stop();
    await trusting.stop();
  });

  const ask = (server: TestServer, headers: Record<string, string>) =>
    sendRaw(server, {
      target: '/oauth/authorize?client_id=nobody',
      headers: { accept: 'text/html', ...headers },
    });

  it('is on every answer, new each time', async () => {
    const ids = new Set<string>();
    const targets = [
      '/',
      '/nowhere',
      '/healthz/live',
      '/healthz/ready',
      '/.well-known/openid-configuration',
      '/oauth/jwks',
      '/oauth/authorize',
      '/oauth/token',
      '/interaction/x',
      '/assets/x/gatehouse.css',
    ];
    for (const target of targets) {
      for (const method of ['GET', 'HEAD', 'POST']) {
        const answer = await sendRaw(wary, { method, target });
        expect(answer.headers['x-request-id']).toMatch(UUID);
        ids.add(String(answer.headers['x-request-id']));
      }
    }
    expect(ids.size).toBe(targets.length * 3);
  });

  it("is a trusted proxy's, on the page, in the header and in the log", async () => {
    const id = 'edge-7f3a.2026_01';
    const answer = await ask(trusting, { 'x-request-id': id, 'x-forwarded-for': '203.0.113.9' });
    expect(answer.headers['x-request-id']).toBe(id);
    expect(answer.body).toContain(id);
    expect(await recordedOf(trusting, answer)).toMatchObject([{ request_id: id, ip: '203.0.113.9' }]);
  });

  it.each([
    ['short', 'short'],
    ['long', 'x'.repeat(129)],
    ['with a space', 'has a space in it'],
    ['with markup', '<script>alert(1)</script>'],
    ['with a quote', `quote"quote'quote`],
    ['with a letter that is none of ours', 'größe-größe-größe'],
    ['empty', ''],
  ])('of a trusted proxy is replaced where it is %s', async (_name, id) => {
    const answer = await ask(trusting, { 'x-request-id': Buffer.from(id).toString('latin1') });
    expect(answer.headers['x-request-id']).toMatch(UUID);
    expect(answer.body).not.toContain('<script>alert');
  });

  it('and the address of anybody else are not taken from them', async () => {
    const answer = await ask(wary, { 'x-request-id': 'chosen-by-me', 'x-forwarded-for': '203.0.113.9' });
    expect(answer.headers['x-request-id']).toMatch(UUID);
    const [event] = await recordedOf(wary, answer);
    expect(event?.ip).toMatch(/^(127\.0\.0\.1|::1)$/);
  });

  it.each([
    ['the last that no proxy of ours stands behind', '198.51.100.7, 203.0.113.9, 127.0.0.1', '203.0.113.9'],
    ['never what a client put before it', '10.0.0.1, 203.0.113.9', '203.0.113.9'],
    ['an IPv6 address', '2001:db8::7', '2001:db8::7'],
    ['an IPv4 address in IPv6', '::ffff:203.0.113.9', '203.0.113.9'],
    ['the peer where nothing is an address', 'unknown, <script>, 999.1.1.1', '127.0.0.1'],
    ['the peer where it is empty', '', '127.0.0.1'],
  ])('comes with the client address: %s', async (_name, forwarded, ip) => {
    const answer = await ask(trusting, { 'x-forwarded-for': forwarded });
    expect(await recordedOf(trusting, answer)).toMatchObject([{ ip }]);
  });
});

describe('an error', () => {
  let database: TestDatabase;
  let proxy: DatabaseProxy;
  let server: TestServer;
  let application: Application;
  beforeAll(async () => {
    database = await createTestDatabase();
    proxy = await createDatabaseProxy(database.connectionString);
    server = await startGatehouse({ env: { GATEHOUSE_DATABASE_URL: proxy.connectionString } });
    application = await registerApplication(server);
  });
  afterEach(() => proxy.restore());
  afterAll(async () => {
    proxy.restore();
    await server.stop();
    await proxy.close();
    await database.drop();
  });

  it.each([
    ['nothing there', '/nowhere', 404, 'not_found'],
    ['nothing there, below the pages', '/interaction/', 404, 'not_found'],
    ['an expired pass', '/interaction/unknown', 410, undefined],
    ['a client that is none', '/oauth/authorize?client_id=nobody', 400, 'invalid_client'],
    ['a pass that is over', '/oauth/authorize/unknown', 410, undefined],
    [
      'a sign-out that leads elsewhere',
      '/oauth/logout?post_logout_redirect_uri=x&client_id=nobody',
      400,
      undefined,
    ],
  ])('for people is a page with the id: %s', async (_name, target, status, code) => {
    const answer = await sendRaw(server, {
      target,
      headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' },
    });
    expect(answer.status).toBe(status);
    expect(answer.headers['content-type']).toContain('text/html');
    expect(answer.headers['cache-control']).toContain('no-store');
    expect(answer.body).toContain('<html lang="en"');
    expect(answer.body).toContain(String(answer.headers['x-request-id']));
    expect(answer.body).not.toMatch(INSIDE);
    if (code === undefined || status === 404) return;
    expect(answer.body).toContain(code);
  });

  it.each(['*/*', 'application/json', undefined])(
    'for machines that accept %s is JSON with the id',
    async (accept) => {
      const answer = await sendRaw(server, {
        target: '/nowhere',
        headers: accept === undefined ? {} : { accept },
      });
      expect(answer.status).toBe(404);
      expect(JSON.parse(answer.body)).toEqual({
        error: 'not_found',
        error_description: 'There is nothing here.',
        request_id: answer.headers['x-request-id'],
      });
    },
  );

  it('of the database says that it is us, and nothing else', async () => {
    const person = createPerson(server.issuer);
    const { email, password } = await registerPerson(server);
    const page = await person.open(authorizationRequest(server, application).url);
    proxy.cut();
    const seen = [
      await person.request(page.url.href),
      await person.request(`${page.url.pathname}/login${page.url.search}`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams({ identifier: email, password }),
      }),
      await fetch(`${server.issuer}/oauth/token`, {
        method: 'POST',
        headers: { authorization: basicOf(application) },
        body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: 'rt_x' }),
      }),
      await fetch(`${server.issuer}/oauth/userinfo`, { headers: { authorization: 'Bearer at_x' } }),
    ];
    for (const response of seen) {
      const text = await response.text();
      expect([new URL(response.url).pathname, response.status]).toEqual([expect.any(String), 503]);
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(response.headers.get('cache-control')).toContain('no-store');
      expect(text).not.toMatch(INSIDE);
      expect(text).not.toContain(password);
    }
    expect(await person.request(page.url.href).then((response) => response.text())).toContain(
      `href="${page.url.pathname}`,
    );
    proxy.restore();
    let visited = await person.open(page.url.href);
    for (let attempt = 0; visited.status === 503 && attempt < 50; attempt += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      visited = await person.open(page.url.href);
    }
    expect((await person.submit(visited, { identifier: email, password }, '/login')).isAway).toBe(true);
  });

  it('never becomes part of a good answer', async () => {
    const person = createPerson(server.issuer);
    const request = authorizationRequest(server, application);
    const visited = await authorize(person, request, await registerPerson(server));
    const response = await redeem(server, application, { code: codeOf(visited), verifier: request.verifier });
    expect(response.status).toBe(200);
    expect(response.headers.get('cache-control')).toContain('no-store');
    expect(response.headers.get('strict-transport-security')).toBeNull();
  });
});
