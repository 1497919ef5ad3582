/** Guessing at sign-in: what an answer tells, and how often one may ask (RFC 9700 §4.10 ff., OWASP ASVS 2.2). */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { generateSync } from 'otplib';

import {
  authorizationRequest,
  OPERATOR,
  registerApplication,
  registerPerson,
  type Application,
} from '../support/application.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import { createPerson, type Person, type Visited } from '../support/person.ts';

const FREE = 3;

let server: TestServer;
let application: Application;
let skewMs = 0;
beforeAll(async () => {
  server = await startGatehouse({
    clock: { now: () => new Date(Date.now() + skewMs) },
    env: {
      GATEHOUSE_THROTTLE_ACCOUNT_FREE_FAILURES: String(FREE),
      GATEHOUSE_THROTTLE_ADDRESS_FREE_FAILURES: '100000',
      GATEHOUSE_THROTTLE_BASE_DELAY_SECONDS: '60',
    },
  });
  application = await registerApplication(server);
});
afterAll(() => server.stop());
afterEach(() => {
  skewMs = 0;
});

async function loginPage(person = createPerson(server.issuer)): Promise<{ person: Person; page: Visited }> {
  return { person, page: await person.open(authorizationRequest(server, application).url) };
}

async function guess(identifier: string, headers: Record<string, string> = {}): Promise<Response> {
  const { person, page } = await loginPage();
  return person.request(`${page.url.pathname}/login${page.url.search}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: new URLSearchParams({ identifier, password: 'not the password' }),
  });
}

async function pageOf(response: Response, identifier: string) {
  const html = (await response.text())
    .replaceAll(identifier, 'X')
    .replaceAll(/interaction\/[\w-]+/g, 'interaction/U')
    // Seconds pass between one page and the next; a wait of any other length still makes a page a different one.
    .replaceAll(/Try again in (?:1 minute|5\d seconds)\./g, 'Try again in about a minute.');
  const headers = Object.fromEntries(
    [...response.headers].filter(([name]) => !['date', 'x-request-id', 'retry-after'].includes(name)),
  );
  return { status: response.status, html, headers };
}

describe('what the answer tells', () => {
  it('is the same for unknown, known, disabled and passwordless accounts, and when throttled', async () => {
    const known = await registerPerson(server);
    const disabled = await registerPerson(server);
    await server.subjects.accounts.disable(disabled.account.id, OPERATOR);
    const passwordless = await server.subjects.accounts.create({ email: 'none1234@example.test' }, OPERATOR);
    const identifiers = [known.email, 'noone123@example.test', disabled.email, passwordless.email];
    for (let attempt = 0; attempt <= FREE; attempt += 1) {
      const pages = [];
      for (const identifier of identifiers) pages.push(await pageOf(await guess(identifier), identifier));
      expect(pages[0]?.status).toBe(attempt < FREE ? 422 : 429);
      for (const page of pages) expect(page).toEqual(pages[0]);
    }
  });

  it('is no different for a disabled account with the right password', async () => {
    const { account, email, password } = await registerPerson(server);
    await server.subjects.accounts.disable(account.id, OPERATOR);
    const { person, page } = await loginPage();
    const right = await person.submit(page, { identifier: email, password }, '/login');
    const wrong = await guess('noone456@example.test');
    expect(right.status).toBe(422);
    expect(right.html.replaceAll(email, 'X').replaceAll(/interaction\/[\w-]+/g, 'interaction/U')).toBe(
      (await pageOf(wrong, 'noone456@example.test')).html,
    );
  });
});

describe('the throttle', () => {
  it('counts every spelling of a name as one', async () => {
    const name = `ärger${Math.random().toString(36).slice(2, 8)}`;
    const spellings = [
      `${name}@example.test`,
      `${name}@example.test`.toUpperCase(),
      `  ${name}@example.test\t`,
      `${name}@example.test`.normalize('NFD'),
      `${name}@ｅｘａｍｐｌｅ.ｔｅｓｔ`,
      `${name.slice(0, 2)}\u200b${name.slice(2)}@example.test`,
      `${name.slice(0, 2)}\u00ad${name.slice(2)}@example.test`,
      `\ufeff${name}@example.test`,
      `Ä${name.slice(1)}@Example.Test`,
    ];
    const statuses = [];
    for (const spelling of spellings) statuses.push((await guess(spelling)).status);
    expect(statuses).toEqual([422, 422, 422, 429, 429, 429, 429, 429, 429]);
  });

  it('is not gone round by claiming other addresses, ids or agents', async () => {
    const { email } = await registerPerson(server);
    const statuses = [];
    for (let attempt = 0; attempt < FREE + 3; attempt += 1) {
      const response = await guess(email, {
        'x-forwarded-for': `192.0.2.${attempt}`,
        'x-real-ip': `192.0.2.${attempt}`,
        forwarded: `for=192.0.2.${attempt}`,
        'x-request-id': `attempt-number-${attempt}`,
        'user-agent': `agent ${attempt}`,
      });
      statuses.push(response.status);
    }
    expect(statuses).toEqual([422, 422, 422, 429, 429, 429]);
  });

  it('is not gone round by a device mark that was made up or belongs to somebody else', async () => {
    const owner = await registerPerson(server);
    const { person, page } = await loginPage();
    await person.submit(page, { identifier: owner.email, password: owner.password }, '/login');
    const [device, signature] = [
      person.cookies.get('gatehouse-device;/'),
      person.cookies.get('gatehouse-device.sig;/'),
    ];
    expect([device, signature]).not.toContain(undefined);
    const { email } = await registerPerson(server);
    const statuses = [];
    for (let attempt = 0; attempt < FREE + 2; attempt += 1) {
      const thief = createPerson(server.issuer);
      thief.cookies.set('gatehouse-device;/', attempt % 2 === 0 ? device! : { value: 'made-up', path: '/' });
      thief.cookies.set('gatehouse-device.sig;/', signature!);
      const login = (await loginPage(thief)).page;
      const visited = await thief.submit(login, { identifier: email, password: 'a guess' }, '/login');
      statuses.push(visited.status);
    }
    expect(statuses).toEqual([422, 422, 422, 429, 429]);
  });

  it('never locks the owner out of a browser that they signed in with', async () => {
    const owner = await registerPerson(server);
    const { person, page } = await loginPage();
    await person.submit(page, { identifier: owner.email, password: owner.password }, '/login');
    for (let attempt = 0; attempt < FREE + 2; attempt += 1) await guess(owner.email);
    expect((await guess(owner.email)).status).toBe(429);
    const again = await person.open(authorizationRequest(server, application, { prompt: 'login' }).url);
    const fields = { identifier: owner.email, password: owner.password };
    expect((await person.submit(again, fields, '/login')).isAway).toBe(true);
  });

  it('says how long to wait, in a header and in words, and grows', async () => {
    const { email } = await registerPerson(server);
    for (let attempt = 0; attempt < FREE; attempt += 1) await guess(email);
    const first = await guess(email);
    const wait = Number(first.headers.get('retry-after'));
    expect([first.status, wait > 0 && wait <= 60]).toEqual([429, true]);
    expect(await first.text()).toMatch(/minute|seconds/);
    const { events } = await server.subjects.audit.list({
      types: ['sign_in.throttled'],
      requestId: first.headers.get('x-request-id') ?? '',
    });
    expect(events).toMatchObject([{ payload: { method: 'password', reason: 'account' } }]);
  });
});

describe('the second factor', () => {
  async function enrolled(): Promise<{
    secret: string;
    codes: string[];
    email: string;
    password: string;
  }> {
    const { account, email, password } = await registerPerson(server);
    const { factors } = server.subjects;
    const { secret } = await factors.beginTotpEnrolment(account.id);
    skewMs = -60_000;
    const code = generateSync({ secret, epoch: Math.floor((Date.now() + skewMs) / 1000) });
    const result = await factors.confirmTotp({ accountId: account.id, code });
    skewMs = 0;
    if (result.kind !== 'ok') throw new Error(result.kind);
    return { secret, codes: result.recoveryCodes, email, password };
  }

  async function atSecondStep(who: { email: string; password: string }) {
    const { person, page } = await loginPage();
    const step = await person.submit(page, { identifier: who.email, password: who.password }, '/login');
    expect(step.html).toContain('one-time-code');
    return { person, step };
  }

  it.each(['totp', 'recovery-code'] as const)(
    'cannot be guessed at by %s, not even from new browsers',
    async (form) => {
      const who = await enrolled();
      const statuses = [];
      for (let attempt = 0; attempt < 8; attempt += 1) {
        const { person, step } = await atSecondStep(who);
        const page =
          form === 'totp' ? step : await person.open(`${step.url.pathname}/${form}${step.url.search}`);
        const wrong = form === 'totp' ? String(100_000 + attempt) : `aaaa-bbbb-ccc${attempt}`;
        const visited = await person.submit(page, { code: wrong }, `/${form}`);
        statuses.push(visited.status);
        expect(visited.isAway).toBe(false);
      }
      expect(statuses[0]).toBe(422);
      expect(statuses.at(-1)).toBe(429);
      // Not even the right one is looked at while one has to wait.
      const { person, step } = await atSecondStep(who);
      const page =
        form === 'totp' ? step : await person.open(`${step.url.pathname}/${form}${step.url.search}`);
      const right = form === 'totp' ? generateSync({ secret: who.secret }) : (who.codes[0] ?? '');
      const visited = await person.submit(page, { code: right }, `/${form}`);
      expect([visited.status, visited.isAway]).toEqual([429, false]);
    },
  );

  it('cannot be skipped by going on without it', async () => {
    const who = await enrolled();
    const { person, step } = await atSecondStep(who);
    for (const path of [
      'consent',
      'access',
      'switch',
      'recovery-codes',
      'recovery-codes/renew',
      'enrol',
      'login',
    ]) {
      const response = await person.request(`${step.url.pathname}/${path}${step.url.search}`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: '',
      });
      const location = response.headers.get('location') ?? '';
      expect([path, location.includes('code='), response.status < 500]).toEqual([path, false, true]);
    }
    const uid = step.url.pathname.split('/').at(-1);
    const resumed = await person.open(`${server.issuer}/oauth/authorize/${uid}`);
    expect(resumed.isAway).toBe(false);
    const silent = await person.open(authorizationRequest(server, application, { prompt: 'none' }).url);
    expect(silent.url.searchParams.get('error')).toBe('interaction_required');
    const anew = await person.open(authorizationRequest(server, application).url);
    expect([anew.isAway, anew.html.includes('one-time-code')]).toEqual([false, true]);
  });

  it('is spent with its code: the same code opens no second session', async () => {
    const who = await enrolled();
    const code = generateSync({ secret: who.secret });
    const first = await atSecondStep(who);
    expect((await first.person.submit(first.step, { code }, '/totp')).isAway).toBe(true);
    const second = await atSecondStep(who);
    const visited = await second.person.submit(second.step, { code }, '/totp');
    expect([visited.status, visited.isAway]).toEqual([422, false]);
  });

  it("is not another person's code", async () => {
    const [one, other] = [await enrolled(), await enrolled()];
    const { person, step } = await atSecondStep(one);
    const visited = await person.submit(step, { code: generateSync({ secret: other.secret }) }, '/totp');
    expect([visited.status, visited.isAway]).toEqual([422, false]);
  });
});
