/** The guides are followed to the letter, in a real browser, so that none of them rots. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { generate } from 'otplib';
import type { Browser, Page } from 'playwright-core';

import { launchBrowser } from '../support/browser.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import { type Guide, type Guides, openGuides, readGuide } from '../support/guides.ts';

const EMAIL = 'ada@example.com';
const PASSWORD = 'quiet lanterns drift home';
/** Claims whose values are of the moment. */
const VARIABLE = ['sub', 'auth_time', 'updated_at', 'nonce', 'aud', 'exp', 'iat', 'iss'];

// Commands start a process each, and a busy machine takes its time for that.
jest.setTimeout(90_000);

let browser: Browser;
let server: TestServer;
let guides: Guides;
let page: Page;

beforeAll(async () => {
  [browser, server] = await Promise.all([
    launchBrowser(),
    // Nobody wants to watch a device wait for five seconds.
    startGatehouse({ env: { GATEHOUSE_POLLING_INTERVAL_SECONDS: '1' } }),
  ]);
  guides = await openGuides(server);
}, 60_000);
afterAll(async () => {
  await guides?.close();
  await Promise.all([browser?.close(), server?.stop()]);
});

beforeEach(async () => {
  const context = await browser.newContext();
  page = await context.newPage();
});
afterEach(async () => {
  await guides.stopPrograms();
  await page.context().close();
});

/** In the order of this file: each guide goes on from the account and the programs of the first. */
function follow(name: string): () => Guide {
  let guide: Guide;
  beforeAll(async () => {
    guide = await guides.follow(name);
  }, 120_000);
  return () => guide;
}

async function startWiki(guide: Guide, command: string): Promise<void> {
  await guide.start(command).printed(/The wiki is at/);
}

async function signIn(): Promise<void> {
  await page.getByLabel('E-mail or user name').fill(EMAIL);
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

async function setUpAuthenticator(): Promise<void> {
  await page.getByRole('heading', { name: 'Set up an authenticator app' }).waitFor();
  const secret = (await page.locator('.key').innerText()).replaceAll(/\s/g, '');
  await page.getByLabel('Code from the app').fill(await generate({ secret }));
  await page.getByRole('button', { name: /confirm/i }).click();
  await page.getByRole('button', { name: /continue/i }).click();
}

async function greeting(): Promise<Record<string, unknown>> {
  try {
    await page.getByRole('heading', { name: 'Hello' }).waitFor();
  } catch (error) {
    const shown = await page.locator('body').innerText();
    throw new Error(`no greeting, but at ${page.url()}: ${shown.slice(0, 500)}`, { cause: error });
  }
  return JSON.parse(await page.locator('pre').innerText()) as Record<string, unknown>;
}

/** The claims as the guide prints them, and no others. */
function expectPrinted(claims: Record<string, unknown>, printed: string): void {
  const expected = JSON.parse(printed) as Record<string, unknown>;
  expect(Object.keys(claims).sort()).toEqual(Object.keys(expected).sort());
  for (const name of VARIABLE) {
    expect(typeof claims[name]).toBe(typeof expected[name]);
    delete expected[name];
  }
  expect(claims).toMatchObject(expected);
}

describe('Your first client', () => {
  const guide = follow('first-client');

  it('a web application signs people in and reads their profile', async () => {
    await startWiki(guide(), 'node wiki.mjs');
    await page.goto(guides.here);
    await page.getByRole('link', { name: 'Sign in' }).click();
    await signIn();
    expectPrinted(await greeting(), guide().text('claims', 'wiki'));
    await page.goto(`${guides.here}/profile`);
    expect(await page.locator('pre').innerText()).toContain('"name": "Ada Lovelace"');
  });

  it('an application in the browser signs people in', async () => {
    const served = guide().start('node serve.mjs');
    await served.printed(/The board is at/);
    expect((await fetch(`${guides.here}/wiki.json`)).status).toBe(404);
    await page.goto(guides.here);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await signIn();
    await page.waitForFunction(`document.querySelector('#claims')?.textContent.includes('"roles"')`);
  });

  it('an installed application signs people in on a port of its choice', async () => {
    const installed = guide().start('node installed.mjs');
    const [, url = ''] = await installed.printed(/^(http:\S+)/m);
    await page.goto(url);
    await signIn();
    await page.getByRole('button', { name: 'Allow', exact: true }).click();
    await page.getByText('You can close this window.').waitFor();
    await installed.printed(/Signed in as Ada Lovelace\./);
    expect(await installed.exited).toBe(0);
  });

  it('a machine gets a token for itself', async () => {
    const backup = guide().start('node backup.mjs');
    expect(await backup.exited).toBe(0);
    expect(JSON.parse(backup.output())).toEqual(JSON.parse(guide().text('output', 'backup.mjs')) as unknown);
  });
});

describe('Second factor', () => {
  const guide = follow('second-factor');

  it('steps up where a page asks for it, and starts anew after a reset', async () => {
    await startWiki(guide(), 'node wiki.mjs intranet.json');
    await page.goto(`${guides.here}/login`);
    await signIn();
    const before = await greeting();
    expect(before).toMatchObject({ acr: 'aal1', amr: ['pwd'] });

    await page.goto(`${guides.here}/salaries`);
    await setUpAuthenticator();
    const after = await greeting();
    expect(after).toMatchObject({ acr: 'aal2', amr: ['pwd', 'otp', 'mfa'] });
    expect(after['auth_time']).toBe(before['auth_time']);
    await page.goto(`${guides.here}/salaries`);
    await page.getByRole('heading', { name: 'Salaries' }).waitFor();

    await guide().runLater('reset-factors');
    expect(await guide().runLater('audit list')).toContain('factor.reset');
    await page.goto(`${guides.here}/profile`);
    await page.getByText('invalid_grant').waitFor();
    await page.goto(`${guides.here}/login`);
    await signIn();
    expect(await greeting()).toMatchObject({ acr: 'aal1' });
  });

  it('asks without disturbing anybody', async () => {
    await startWiki(guide(), 'node wiki.mjs intranet.json');
    await page.goto(`${guides.here}/login`);
    await signIn();
    await greeting();
    await page.goto(`${guides.here}/login?acr_values=aal2&prompt=none`);
    await page.getByText('interaction_required').waitFor();
  });
});

describe('Devices', () => {
  const guide = follow('device-flow');

  it('connects a device by the code that it shows', async () => {
    const tv = guide().start('node tv.mjs');
    const [, url = '', code = ''] = await tv.printed(/Open (\S+) and enter the code (\S+)/);
    await page.goto(url);
    await page.getByLabel('Code on your device').fill(code.toLowerCase());
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('button', { name: 'Yes, that is my device' }).click();
    await signIn();
    await page.getByRole('button', { name: 'Allow', exact: true }).click();
    await page.getByRole('heading', { name: 'Your device is connected' }).waitFor();
    await tv.printed(/Connected to Ada Lovelace\./);
    expect(await tv.exited).toBe(0);
  });
});

describe('Asking a person without their browser', () => {
  const guide = follow('ciba');

  it('gets its tokens once the person has approved on a page of their account', async () => {
    const desk = guide().start('node desk.mjs');
    const [, url = ''] = await desk.printed(/at (\S+approvals)/);
    await page.goto(url);
    await signIn();
    await page.getByText('Order 4711').waitFor();
    await page.getByRole('button', { name: 'Approve', exact: true }).click();
    await page.getByText('Approved.').waitFor();
    await desk.printed(/It is ada@example\.com\./);
    expect(await desk.exited).toBe(0);
  });
});

describe('Sign-out', () => {
  const guide = follow('sign-out');

  it('ends the session at the issuer and comes back', async () => {
    await startWiki(guide(), 'node wiki.mjs calendar.json');
    await page.goto(`${guides.here}/login`);
    await signIn();
    await greeting();
    await page.getByRole('link', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign out?' }).waitFor();
    await page.getByRole('button', { name: /^sign out/i }).click();
    await page.getByRole('heading', { name: 'Signed out' }).waitFor();
    await page.goto(`${guides.here}/login?prompt=none`);
    await page.getByText('login_required').waitFor();
  });

  it('ends the tokens of applications that did not ask for offline access', async () => {
    await startWiki(guide(), 'node wiki.mjs calendar.json');
    await page.goto(`${guides.here}/login`);
    await signIn();
    const { iss } = await greeting();
    await page.goto(`${guides.here}/profile`);
    await page.locator('pre').waitFor();

    await page.goto(`${String(iss)}/oauth/logout`);
    await page.getByRole('button', { name: /^sign out/i }).click();
    await page.goto(`${guides.here}/profile`);
    await page.getByText('invalid_grant').waitFor();
  });

  it.each(['users withdraw-consent', 'users sign-out', 'users disable'])(
    'ends tokens by %s',
    async (command) => {
      await startWiki(guide(), 'node wiki.mjs calendar.json');
      await page.goto(`${guides.here}/login?scope=openid+offline_access`);
      await signIn();
      await greeting();
      await guide().runLater(command);
      await page.goto(`${guides.here}/profile`);
      await page.getByText('invalid_grant').waitFor();
    },
  );
});

describe('Proofs of possession', () => {
  const dpop = follow('dpop');
  const fapi2 = follow('fapi2');

  it('bind the tokens of a client to its key', async () => {
    const courier = dpop().start('node courier.mjs');
    await courier.printed(/^DPoP bound to [\w-]{43}$/im);
  });

  it('are asked of a client under FAPI 2.0, which pushes its requests', async () => {
    const bank = fapi2().start('node bank.mjs');
    await bank.printed(/client_id and request_uri|request_uri and client_id/);
    expect(await bank.exited).toBe(0);
    expect(bank.output()).toMatch(/^dpop$/im);
  });

  it('cannot be given up piece by piece under FAPI 2.0', async () => {
    const { client_id: id } = JSON.parse(await readFile(`${guides.folder}/bank.json`, 'utf8')) as {
      client_id: string;
    };
    await expect(fapi2().runLater('--no-pkce', { CLIENT_ID: id })).rejects.toThrow(
      fapi2().text('output', 'refused').trim(),
    );
    expect(await server.subjects.clients.get(id)).toMatchObject({
      profile: 'fapi2',
      requirePkce: true,
      requirePushedAuthorizationRequests: true,
      idTokenAlg: 'ES256',
    });
  });
});

/** Last, for Ada has a second factor afterwards. */
describe('Roles and claims', () => {
  const guide = follow('roles-and-claims');

  it('closes a client to whoever lacks its role, and tells roles under another name', async () => {
    await startWiki(guide(), 'node wiki.mjs handbook.json');
    await page.goto(`${guides.here}/login`);
    await signIn();
    await page.getByRole('button', { name: /^back to/i }).click();
    await page.getByText('access_denied').waitFor();

    await guide().runLater('roles grant wiki:author');
    await page.goto(`${guides.here}/login`);
    await setUpAuthenticator();
    expect(await greeting()).toMatchObject({ roles: expect.arrayContaining(['wiki:author']), acr: 'aal2' });

    await guides.stopPrograms();
    await startWiki(guide(), 'node wiki.mjs argo.json');
    await page.goto(`${guides.here}/login`);
    expectPrinted(await greeting(), guide().text('claims', 'argo'));
  });
});

it.each(['second-factor', 'sign-out'])('what %s shows of wiki.mjs stands in it', async (name) => {
  const plain = (text: string): string => text.replaceAll(/\s+/g, '');
  const program = (await readGuide('first-client')).find(
    ({ attributes }) => attributes['file'] === 'wiki.mjs',
  );
  const excerpts = (await readGuide(name)).filter(({ language }) => language === 'js');
  expect(excerpts.length).toBeGreaterThan(0);
  for (const { text } of excerpts) expect(plain(program?.text ?? '')).toContain(plain(text));
});
