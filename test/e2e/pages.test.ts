import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { launchBrowser } from '../support/browser.ts';
import type { PageServer } from '../support/page-server.ts';
import { servePages } from '../support/page-server.ts';
import { pageStates } from '../support/page-states.ts';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let server: PageServer;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let complaints: string[];

beforeAll(async () => {
  server = await servePages(pageStates);
  browser = await launchBrowser();
  // Without motion, colours are final at once, and axe measures those that stay.
  context = await browser.newContext({ viewport: { width: 1000, height: 820 }, reducedMotion: 'reduce' });
  page = await context.newPage();
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

async function open(name: string): Promise<void> {
  complaints = [];
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 1000, height: 820 });
  await page.goto(server.urlOf(name));
}

/** Each violation as `rule: selector, selector`. */
async function violations(): Promise<string[]> {
  return page.evaluate(
    `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ target }) => target).join(', ')))`,
  );
}

async function overflow(): Promise<number> {
  return page.evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`);
}

/** WCAG 1.4.12: what a reader may set without anything being cut off. */
const textSpacing = `{
  const sheet = new CSSStyleSheet();
  sheet.replaceSync('* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important; }');
  document.adoptedStyleSheets = [sheet];
}`;

/** One page load serves the checks of a state, in this order: the last one leaves the page changed. */
describe.each(pageStates)('the page $name', ({ name }) => {
  beforeAll(() => open(name));

  it('begins its title with "Error:" exactly when something was refused, and takes the focus to it', async () => {
    const isRefusal = (await page.locator('[role=alert]').count()) > 0;
    expect((await page.title()).startsWith('Error: ')).toBe(isRefusal);
    const firstWrong = page.locator('.field-wrong:has(.field-error) input').first();
    if ((await firstWrong.count()) === 0) return;
    expect(await firstWrong.getAttribute('aria-invalid')).toBe('true');
    expect(await page.locator(':focus').getAttribute('id')).toBe(await firstWrong.getAttribute('id'));
    const described = (await firstWrong.getAttribute('aria-describedby'))?.split(' ') ?? [];
    for (const id of described) expect(await page.locator(`#${id}`).count()).toBe(1);
    expect(described.some((id) => id.endsWith('-error'))).toBe(true);
  });

  it('has fields and buttons that a thumb hits, in text that a phone does not zoom', async () => {
    const small = await page.evaluate(
      `Array.from(document.querySelectorAll('input:not([type=hidden]), button:not([hidden]), a.button'))
        .filter((it) => it.offsetHeight < 44 || (it.matches('input') && parseFloat(getComputedStyle(it).fontSize) < 16))
        .map((it) => it.outerHTML)`,
    );
    expect(small).toEqual([]);
  });

  it('is accessible in light and dark, folded open, and its policy lets it work', async () => {
    await page.evaluate(`for (const details of document.querySelectorAll('details')) details.open = true`);
    await page.evaluate(axe);
    expect(await violations()).toEqual([]);
    await page.emulateMedia({ colorScheme: 'dark' });
    expect(await violations()).toEqual([]);
    expect(complaints).toEqual([]);
  });

  it('needs no sideways scrolling at 320 px, with text spaced out, or from right to left', async () => {
    await page.setViewportSize({ width: 320, height: 640 });
    expect(await overflow()).toBe(0);
    await page.evaluate(textSpacing);
    expect(await overflow()).toBe(0);
    await page.evaluate(`document.documentElement.dir = 'rtl'`);
    expect(await overflow()).toBe(0);
  });
});

it('the check of accessibility finds a fault where there is one', async () => {
  await open('login');
  await page.evaluate(
    `document.querySelector('label').remove(); document.querySelector('h1').style.color = '#ccc'`,
  );
  await page.evaluate(axe);
  expect(await violations()).toEqual(['color-contrast: h1', 'label: #identifier']);
});

describe('with script', () => {
  it('a form is sent once, and its button says so', async () => {
    await open('login');
    const posts: string[] = [];
    await page.route('**/interaction/**', async (route) => {
      posts.push(route.request().postData() ?? '');
      await new Promise((resolve) => {
        setTimeout(resolve, 300);
      });
      await route.fulfill({ status: 204 });
    });
    await page.getByLabel('E-mail or user name').fill('ada');
    await page.getByLabel('Password', { exact: true }).fill('correct horse');
    const button = page.locator('button[type=submit]');
    await page.evaluate(
      `for (let press = 0; press < 3; press += 1) document.querySelector('[type=submit]').click()`,
    );
    expect(await button.textContent()).toBe('Signing in…');
    expect(await page.getByRole('status').textContent()).toBe('Signing in…');
    await page.waitForTimeout(500);
    expect(posts).toEqual(['xsrf=Hk3k2&identifier=ada&password=correct+horse']);
    await page.unroute('**/interaction/**');
  });

  it('the pressed button still carries its answer', async () => {
    await open('consent');
    const posted = page.waitForRequest((request) => request.method() === 'POST');
    await page.getByRole('button', { name: 'Do not allow' }).click();
    expect((await posted).postData()).toBe('xsrf=Hk3k2&decision=deny');
  });

  it('a password can be shown, and is hidden again when it is sent', async () => {
    await open('login');
    await page.route('**/interaction/**', (route) => route.fulfill({ status: 204 }));
    const password = page.locator('#password');
    await page.getByRole('button', { name: 'Show password' }).click();
    expect(await password.getAttribute('type')).toBe('text');
    await page.locator('button[type=submit]').click();
    expect(await password.getAttribute('type')).toBe('password');
    await page.unroute('**/interaction/**');
  });

  it('recovery codes can be copied and downloaded', async () => {
    await open('recovery-codes');
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    const shown = await page.locator('#codes li').allInnerTexts();
    expect(shown).toHaveLength(10);
    await page.getByRole('button', { name: 'Copy' }).click();
    await page.getByRole('button', { name: 'Copied' }).waitFor();
    expect(await page.evaluate(`navigator.clipboard.readText()`)).toBe(`${shown.join('\n')}\n`);
    const downloading = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Download' }).click();
    const download = await downloading;
    expect(download.suggestedFilename()).toBe('Gatehouse recovery codes.txt');
    expect(readFileSync(await download.path(), 'utf8')).toBe(`${shown.join('\n')}\n`);
    expect(complaints).toEqual([]);
  });
});

describe('without script', () => {
  it.each(['login', 'totp-enrol', 'recovery-codes'])(
    '%s shows nothing that would do nothing',
    async (name) => {
      const plain = await browser.newContext({ javaScriptEnabled: false });
      const view = await plain.newPage();
      await view.goto(server.urlOf(name));
      expect(await view.locator('button:visible').count()).toBe(
        await view.locator('button[type=submit]:visible').count(),
      );
      await plain.close();
    },
  );
});
