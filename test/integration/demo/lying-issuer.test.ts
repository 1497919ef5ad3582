import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { createServer, type Server } from 'node:http';
import { pino } from 'pino';

import { chooseDemoPorts, startDemo, type Demo } from '../../../src/demo/server.ts';
import { freePort } from '../../support/ports.ts';
import { createWebBrowser, textOf, type WebBrowser, type WebPage } from './web-browser.ts';

/** What the issuer of these tests answers: all as it should be, but for what a test changes. */
interface Lies {
  claims: Record<string, unknown>;
  hasForeignSignature: boolean;
  isUnsigned: boolean;
  userinfo: Record<string, unknown>;
  token: { status: number; body: Record<string, unknown> } | undefined;
  userinfoStatus: number;
}

const SUBJECT = 'somebody';
const honest: Lies = {
  claims: {},
  hasForeignSignature: false,
  isUnsigned: false,
  userinfo: {},
  token: undefined,
  userinfoStatus: 200,
};

let lies: Lies;
let nonce: string;
let issuer: string;
let server: Server;
let demo: Demo;
let ledger: string;
let visits: { method: string; path: string; body: string; authorization: string }[];

beforeAll(async () => {
  const port = await freePort(3);
  issuer = `http://localhost:${port}`;
  const [own, foreign] = await Promise.all([generateKeyPair('ES256'), generateKeyPair('ES256')]);
  const jwks = { keys: [{ ...(await exportJWK(own.publicKey)), kid: 'own', alg: 'ES256', use: 'sig' }] };

  const idToken = (): Promise<string> | string => {
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: issuer,
      sub: SUBJECT,
      aud: 'demo-ledger',
      iat: now,
      exp: now + 600,
      nonce,
      ...lies.claims,
    };
    if (lies.isUnsigned) return `${encoded({ alg: 'none' })}.${encoded(claims)}.`;
    return new SignJWT(claims)
      .setProtectedHeader({ alg: 'ES256', kid: 'own' })
      .sign((lies.hasForeignSignature ? foreign : own).privateKey);
  };

  const answers: Record<string, () => Promise<[number, unknown]>> = {
    '/.well-known/openid-configuration': async () => [
      200,
      {
        issuer,
        authorization_endpoint: `${issuer}/authorize`,
        token_endpoint: `${issuer}/token`,
        userinfo_endpoint: `${issuer}/userinfo`,
        jwks_uri: `${issuer}/jwks`,
        revocation_endpoint: `${issuer}/revoke`,
        end_session_endpoint: `${issuer}/logout`,
        id_token_signing_alg_values_supported: ['ES256'],
        authorization_response_iss_parameter_supported: true,
      },
    ],
    '/jwks': async () => [200, jwks],
    '/token': async () =>
      lies.token
        ? [lies.token.status, lies.token.body]
        : [
            200,
            {
              access_token: 'at',
              token_type: 'Bearer',
              id_token: await idToken(),
              refresh_token: 'rt-secret',
            },
          ],
    '/userinfo': async () => [lies.userinfoStatus, { sub: SUBJECT, name: 'Ada', ...lies.userinfo }],
    '/revoke': async () => [500, {}],
  };

  server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', issuer).pathname;
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      visits.push({
        method: request.method ?? '',
        path,
        body,
        authorization: request.headers.authorization ?? '',
      });
      void (answers[path]?.() ?? Promise.resolve([404, {}] as [number, unknown])).then(([status, json]) =>
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(json)),
      );
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(port, 'localhost', resolve);
  });
  demo = await startDemo({
    issuer,
    secrets: { 'demo-ledger': 'a secret: with/odd+characters', 'demo-atlas': 'another' },
    ports: await chooseDemoPorts({ ledger: port + 1, atlas: port + 2 }),
    branding: { name: 'Gatehouse' },
    logger: pino({ level: 'silent' }),
  });
  ledger = demo.applications[0]?.url ?? '';
});

afterAll(async () => {
  await demo.close();
  server.closeAllConnections();
  await new Promise((resolve) => {
    server.close(resolve);
  });
});

beforeEach(() => {
  lies = honest;
  visits = [];
});

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** Goes to the issuer and comes back with a code, or with what is given instead. */
async function signIn(
  browser: WebBrowser,
  answer: Record<string, string> = { code: 'code' },
): Promise<WebPage> {
  const start = await browser.request(`${ledger}login`);
  const asked = new URL(start.headers.get('location') ?? '').searchParams;
  nonce = asked.get('nonce') ?? '';
  const query = new URLSearchParams({ ...answer, state: asked.get('state') ?? '', iss: issuer });
  return browser.open(`${ledger}callback?${query.toString()}`);
}

describe('an issuer that tells the truth', () => {
  it('is believed, and the client authenticated by its header alone', async () => {
    const page = await signIn(createWebBrowser());
    expect(textOf(page)).toContain('You are signed in');
    const redeemed = visits.find(({ path }) => path === '/token');
    expect(Object.fromEntries(new URLSearchParams(redeemed?.body))).toEqual({
      grant_type: 'authorization_code',
      code: 'code',
      redirect_uri: `${ledger}callback`,
      code_verifier: expect.stringMatching(/^[\w-]{43}$/),
    });
    expect(redeemed?.authorization).toMatch(/^Basic /);
  });
});

describe('an ID token', () => {
  const past = Math.floor(Date.now() / 1000) - 3600;
  it.each<[string, Partial<Lies>]>([
    ['signed by a foreign key', { hasForeignSignature: true }],
    ['that is not signed', { isUnsigned: true }],
    ['of another issuer', { claims: { iss: 'https://evil.example' } }],
    ['for another application', { claims: { aud: 'demo-atlas' } }],
    [
      'for several, of which this one is not the presenter',
      { claims: { aud: ['demo-ledger', 'x'], azp: 'x' } },
    ],
    ['of another sign-in', { claims: { nonce: 'another' } }],
    ['without the nonce', { claims: { nonce: undefined } }],
    ['that has expired', { claims: { iat: past, exp: past + 600 } }],
    ['without a subject', { claims: { sub: undefined } }],
  ])('%s is refused', async (_, lie) => {
    lies = { ...honest, ...lie };
    const browser = createWebBrowser();
    const page = await signIn(browser);
    expect([page.status, textOf(page)]).toEqual([502, expect.stringContaining('was refused')]);
    expect(textOf(await browser.open(ledger))).toContain('Welcome to Ledger');
  });
});

describe('userinfo', () => {
  it('about somebody else is refused', async () => {
    lies = { ...honest, userinfo: { sub: 'somebody-else' } };
    expect(textOf(await signIn(createWebBrowser()))).toContain('was refused');
  });
});

describe('a refresh', () => {
  it('that answers about somebody else is refused, and changes nothing', async () => {
    const browser = createWebBrowser();
    const page = await signIn(browser);
    lies = { ...honest, claims: { sub: 'somebody-else' }, userinfo: { sub: 'somebody-else' } };
    const refused = await browser.press(page, '/refresh');
    expect(refused.status).toBe(502);
    expect(refused.html).not.toContain('somebody-else');
  });

  it('that the issuer cannot answer now loses nothing', async () => {
    const browser = createWebBrowser();
    const page = await signIn(browser);
    lies = { ...honest, token: { status: 503, body: { error: 'temporarily_unavailable' } } };
    const refused = await browser.press(page, '/refresh');
    expect([refused.status, textOf(refused)]).toEqual([503, expect.stringContaining('Nothing is lost')]);
    lies = honest;
    expect(textOf(await browser.press(page, '/refresh'))).toContain('The tokens were refreshed');
  });
});

describe('a sign-out', () => {
  it('is over here, also where the refresh token cannot be given up', async () => {
    const browser = createWebBrowser();
    await signIn(browser);
    const response = await browser.request(`${ledger}sign-out`, { method: 'POST' });
    const asked = new URL(response.headers.get('location') ?? '');
    expect(asked.pathname).toBe('/logout');
    expect(asked.searchParams.get('post_logout_redirect_uri')).toBe(`${ledger}signed-out`);
    expect(asked.searchParams.get('id_token_hint')).toMatch(/^ey/);
    expect(visits.map(({ path }) => path)).toContain('/revoke');
    expect(textOf(await browser.open(ledger))).toContain('Welcome to Ledger');
  });

  it('is told of only where the issuer brings back its state', async () => {
    const browser = createWebBrowser();
    await signIn(browser);
    const response = await browser.request(`${ledger}sign-out`, { method: 'POST' });
    const state = new URL(response.headers.get('location') ?? '').searchParams.get('state') ?? '';
    const back = [`state=forged`, '', `state=${state}`, `state=${state}`];
    const told = [];
    for (const query of back) {
      told.push(textOf(await browser.open(`${ledger}signed-out?${query}`)).includes('You are signed out'));
    }
    expect(told).toEqual([false, false, true, false]);
  });
});

describe('a refusal', () => {
  it.each([
    [{ error: 'access_denied' }, 403, 'You were not signed in'],
    [{ error: 'temporarily_unavailable' }, 503, 'cannot answer now'],
    [{ error: 'server_error' }, 503, 'cannot answer now'],
    [{ error: 'unauthorized_client' }, 502, 'does not know Ledger'],
    [{ error: 'interaction_required' }, 400, 'has a question for you'],
    [{ error: 'something_new', error_description: '<b>words</b>' }, 502, 'refused the request'],
  ])('in the answer is put into words: %j', async (answer, status, words) => {
    const page = await signIn(createWebBrowser(), answer);
    expect([page.status, textOf(page)]).toEqual([status, expect.stringContaining(words)]);
    expect(page.html).toContain(`<code>${answer.error}</code>`);
    expect(page.html).not.toContain('<b>words</b>');
  });

  it.each([
    [400, { error: 'invalid_grant' }, 400, 'was used already'],
    [401, { error: 'invalid_client' }, 502, 'does not know Ledger'],
    [503, { error: 'temporarily_unavailable' }, 503, 'cannot answer now'],
    [200, { hello: 'world' }, 502, 'was refused'],
  ])('of the code is put into words: %d %j', async (status, body, shownStatus, words) => {
    lies = { ...honest, token: { status, body } };
    const page = await signIn(createWebBrowser());
    expect([page.status, textOf(page)]).toEqual([shownStatus, expect.stringContaining(words)]);
  });
});
