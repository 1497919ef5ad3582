/** The first ten minutes of a new user, in a real browser, from an empty folder: what the README promises. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { generate } from 'otplib';
import type { Browser, Page } from 'playwright-core';

import { launchBrowser } from '../support/browser.ts';
import { runGatehouse, startGatehouseProcess, type GatehouseProcess } from '../support/gatehouse-process.ts';
import { freePort } from '../support/ports.ts';

let dataDir: string;
let gatehouse: GatehouseProcess;
let browser: Browser;
let page: Page;
/** Set by a developer who wants to look at every step. */
const screenshots = process.env['GATEHOUSE_TEST_SCREENSHOTS'];

beforeAll(async () => {
  dataDir = await mkdtemp(path.join(os.tmpdir(), 'gh-first-'));
  // As root the database then stays in there, and goes with it.
  await chmod(dataDir, 0o711);
  const port = await freePort(3);
  gatehouse = await startGatehouseProcess({ GATEHOUSE_DATA_DIR: dataDir, PORT: String(port) });
  browser = await launchBrowser();
  const context = await browser.newContext({ viewport: { width: 1000, height: 820 } });
  page = await context.newPage();
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await gatehouse?.stop();
  await rm(dataDir, { recursive: true, force: true });
});

async function look(name: string): Promise<void> {
  if (!screenshots) return;
  await page.screenshot({ path: path.join(screenshots, `${name}.png`), fullPage: true });
}

it('leads from the printed password to single sign-on, sign-out and the audit log', async () => {
  const { ledgerUrl, atlasUrl, email, password } = gatehouse.printed();

  await page.goto(ledgerUrl);
  await look('01-ledger');
  await page.getByRole('button', { name: /^sign in with/i }).click();

  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await look('02-sign-in');
  await page.getByLabel('E-mail or user name').fill(email);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();

  await page.getByRole('heading', { name: 'Set up an authenticator app' }).waitFor();
  await look('03-enrol');
  const key = (await page.locator('.key').innerText()).replaceAll(/\s/g, '');
  await page.getByLabel('Code from the app').fill(await generate({ secret: key }));
  await page.getByRole('button', { name: /confirm/i }).click();

  await page.getByRole('heading', { name: 'Save your recovery codes' }).waitFor();
  await look('04-recovery-codes');
  await page.getByRole('button', { name: /continue/i }).click();

  await page.getByRole('heading', { name: 'You are signed in' }).waitFor();
  await look('05-ledger-signed-in');
  expect(new URL(page.url()).origin).toBe(new URL(ledgerUrl).origin);
  const table = await page.locator('main').innerText();
  expect(table).toContain('admin');
  expect(table).toMatch(/pwd.*otp.*mfa/s);
  expect(table).toContain('aal2');

  await page.goto(atlasUrl);
  await page.getByRole('button', { name: /^sign in with/i }).click();
  await page.getByRole('heading', { name: 'You are signed in' }).waitFor();
  await look('06-atlas-signed-in');

  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign out?' }).waitFor();
  await look('07-sign-out');
  await page.getByRole('button', { name: /^sign out/i }).click();
  await page.waitForURL((url) => url.origin === new URL(atlasUrl).origin);
  await look('08-signed-out');

  for (const url of [ledgerUrl, atlasUrl]) {
    await page.goto(new URL('/login?prompt=none', url).href);
    await page.waitForURL((current) => current.origin === new URL(url).origin);
    expect(await page.getByRole('heading', { name: 'You are signed in' }).count()).toBe(0);
  }
  await look('09-not-silently');

  const { stdout } = await runGatehouse(['audit', 'list', '--json', '--limit', '200'], gatehouse.env);
  const types = stdout
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { type: string }).type);
  expect(types).toEqual(
    expect.arrayContaining([
      'sign_in.succeeded',
      'factor.totp_enrolled',
      'authorization.succeeded',
      'token.issued',
      'session.ended',
      'authorization.failed',
    ]),
  );
  const verified = await runGatehouse(['audit', 'verify'], gatehouse.env);
  expect(verified.code).toBe(0);
}, 120_000);
