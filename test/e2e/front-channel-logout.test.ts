/** Front-channel sign-out (OIDC Front-Channel Logout 1.0) in a real browser. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { decodeJwt } from 'jose';
import type { Browser, BrowserContext, Page } from 'playwright-core';

import {
  authorizationRequest,
  redeem,
  registerApplication,
  registerPerson,
  type Application,
  type Tokens,
} from '../support/application.ts';
import { launchBrowser } from '../support/browser.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import { startLogoutReceiver, type LogoutReceiver } from '../support/logout-receiver.ts';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let server: TestServer;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let ledger: LogoutReceiver;
let atlas: LogoutReceiver;

beforeAll(async () => {
  server = await startGatehouse();
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser?.close();
  await server?.stop();
});
beforeEach(async () => {
  [ledger, atlas] = await Promise.all([startLogoutReceiver(), startLogoutReceiver()]);
  context = await browser.newContext({ reducedMotion: 'reduce' });
  page = await context.newPage();
});
afterEach(async () => {
  await context.close();
  await Promise.all([ledger.close(), atlas.close()]);
});

function registerApp(name: string, receiver: LogoutReceiver, isSessionNamed = true): Promise<Application> {
  return registerApplication(server, {
    name,
    redirectUris: [`${receiver.origin}/callback`],
    postLogoutRedirectUris: [`${receiver.origin}/bye`],
    frontchannelLogoutUri: `${receiver.origin}/frame?kept=1`,
    frontchannelLogoutSessionRequired: isSessionNamed,
  });
}

/** @returns the session's name in the ID token */
async function signIn(
  application: Application,
  credentials?: { email: string; password: string },
): Promise<unknown> {
  const request = authorizationRequest(server, application, { scope: 'openid' });
  await page.goto(request.url);
  if (credentials) {
    await page.getByLabel('E-mail or user name').fill(credentials.email);
    await page.getByLabel('Password', { exact: true }).fill(credentials.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
  }
  await page.waitForURL(/\/callback/);
  const code = new URL(page.url()).searchParams.get('code') ?? '';
  const answer = await redeem(server, application, { code, verifier: request.verifier });
  const { id_token: idToken = '' } = (await answer.json()) as Tokens;
  return decodeJwt(idToken)['sid'];
}

function logoutUrl(application: Application, receiver: LogoutReceiver): string {
  const url = new URL(`${server.issuer}/oauth/logout`);
  url.searchParams.set('client_id', application.clientId);
  url.searchParams.set('post_logout_redirect_uri', `${receiver.origin}/bye`);
  return url.href;
}

const asObject = (query: URLSearchParams | undefined) => Object.fromEntries(query ?? []);

it('loads the page of every application with issuer and session, on a page that anybody can use', async () => {
  const [first, second] = await Promise.all([
    registerApp('Ledger', ledger),
    registerApp('Atlas', atlas, false),
  ]);
  const sid = await signIn(first, await registerPerson(server));
  expect(sid).toEqual(expect.any(String));
  expect(await signIn(second)).toBeUndefined();

  // Without our script the page stays as it is.
  await page.route(/gatehouse[^/]*\.js/, (route) => route.abort());
  await page.goto(logoutUrl(first, ledger));
  const answered = page.waitForResponse((response) => response.request().method() === 'POST');
  await page.getByRole('button', { name: 'Sign out' }).click();
  const policy = (await (await answered).headerValue('content-security-policy')) ?? '';
  await page.getByRole('heading', { name: 'You are signed out' }).waitFor();
  await page.waitForLoadState('load');

  expect(ledger.frames.map(asObject)).toEqual([{ kept: '1', iss: server.issuer, sid }]);
  expect(atlas.frames.map(asObject)).toEqual([{ kept: '1' }]);
  const frameSources = policy.split('; ').filter((directive) => directive.startsWith('frame-src'));
  expect(frameSources.map((directive) => new Set(directive.split(' ').slice(1)))).toEqual([
    new Set([ledger.origin, atlas.origin]),
  ]);
  await page.evaluate(axe);
  const violations = await page.evaluate(
    `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ target }) => target).join(', ')))`,
  );
  expect(violations).toEqual([]);

  await page.getByRole('link', { name: 'Continue to Ledger' }).click();
  await page.waitForURL(`${ledger.origin}/bye`);
}, 60_000);

it('goes on by itself, and asks nobody who is not concerned', async () => {
  const [first, second] = await Promise.all([registerApp('Ledger', ledger), registerApp('Atlas', atlas)]);
  await signIn(first, await registerPerson(server));
  await signIn(second);

  // "Stay signed in": only the application that asked is left.
  await page.goto(logoutUrl(first, ledger));
  await page.getByRole('button', { name: 'Stay signed in' }).click();
  await page.waitForURL(`${ledger.origin}/bye`);
  expect([ledger.frames.length, atlas.frames.length]).toEqual([1, 0]);

  await page.goto(logoutUrl(second, atlas));
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.waitForURL(`${atlas.origin}/bye`);
  expect([ledger.frames.length, atlas.frames.length]).toEqual([1, 1]);
}, 60_000);

it('gives no other page the right to load frames', async () => {
  const application = await registerApp('Ledger', ledger);
  const response = await page.goto(logoutUrl(application, ledger));
  expect(await response?.headerValue('content-security-policy')).not.toContain('frame-src');
});
