/** Codes as people type them, what each refusal says, and when a second factor is asked for at all. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';

import {
  authorizationRequest,
  codeOf,
  OPERATOR,
  redeem,
  registerApplication,
  registerPerson,
  type Application,
  type Tokens,
} from '../../support/application.ts';
import { codeAt, enrol, keyOn, wrongCode } from '../../support/authenticator.ts';
import { buildRole } from '../../support/factories/role.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person, type Visited } from '../../support/person.ts';

let server: TestServer;
let application: Application;
let strict: Application;
let skewMs = 0;
beforeAll(async () => {
  server = await startGatehouse({ clock: { now: () => new Date(Date.now() + skewMs) } });
  application = await registerApplication(server, { name: 'Ledger' });
  strict = await registerApplication(server, { name: 'Vault', requireMfa: true });
});
afterAll(() => server.stop());
afterEach(() => {
  skewMs = 0;
});

type Who = Awaited<ReturnType<typeof registerPerson>>;

async function signIn(who: Who, client: Application, parameters = {}, person = createPerson(server.issuer)) {
  const request = authorizationRequest(server, client, parameters);
  const page = await person.open(request.url);
  const step = await person.submit(page, { identifier: who.email, password: who.password }, '/login');
  return { person, request, step };
}

async function challenged(client = application) {
  const who = await registerPerson(server);
  const { secret, recoveryCodes } = await enrol(server, who.account);
  return { who, secret, recoveryCodes, ...(await signIn(who, client)) };
}

async function openRecovery(person: Person, step: Visited): Promise<Visited> {
  return person.open(`${step.url.pathname}/recovery-code${step.url.search}`);
}

const fullWidth = (digits: string): string =>
  digits.replaceAll(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit)));

describe('a code from the app', () => {
  it.each<[string, (code: string) => string]>([
    ['as it is', (code) => code],
    ['in two groups', (code) => `${code.slice(0, 3)} ${code.slice(3)}`],
    ['with a hyphen', (code) => `${code.slice(0, 3)}-${code.slice(3)}`],
    ['with spaces around', (code) => `  ${code}\t`],
    ['in full-width digits', fullWidth],
    ['copied with invisible characters', (code) => `\u200b${code}\ufeff`],
    ['with no-break spaces', (code) => code.split('').join('\u00a0')],
  ])('is taken %s', async (_name, type) => {
    const { person, step, secret } = await challenged();
    const visited = await person.submit(step, { code: type(codeAt(secret)) }, '/totp');
    expect([visited.isAway, visited.url.searchParams.has('code')]).toEqual([true, true]);
  });

  it.each([
    ['five digits', '12345'],
    ['seven digits', '1234567'],
    ['letters', 'abcdef'],
    ['nothing', ''],
    ['spaces', '   '],
    ['a sign', '+12345'],
    ['an exponent', '1e5000'],
    ['Roman numerals', 'ⅠⅡⅢⅣⅤⅥ'],
    ['Arabic-Indic digits', '١٢٣٤٥٦'],
    ['an emoji', '😀😀😀'],
    ['a NUL byte', '12345\u0000'],
    ['half a surrogate pair', '\ud800'],
    ['a hundred digits', '1'.repeat(100)],
  ])('that is %s is a field error, and no guess', async (_name, code) => {
    const { person, step, secret } = await challenged();
    for (let attempt = 0; attempt < 7; attempt += 1) {
      const visited = await person.submit(step, { code }, '/totp');
      expect(visited.status).toBe(422);
      expect(visited.html).toContain('A code has six digits.');
      expect(visited.html).toContain('aria-invalid="true"');
    }
    expect((await person.submit(step, { code: codeAt(secret) }, '/totp')).isAway).toBe(true);
  });

  it('that is none is on record as that', async () => {
    const { person, step } = await challenged();
    await person.submit(step, { code: '12' }, '/totp');
    const { events } = await server.subjects.audit.list({ types: ['request.refused'] });
    expect(events.map(({ payload }) => payload)).toContainEqual({
      error: 'code_malformed',
      status: 422,
      method: 'POST',
      route: '/interaction/:id/totp',
    });
  });

  it('longer than any code is refused with the form', async () => {
    const { person, step } = await challenged();
    expect((await person.submit(step, { code: '1'.repeat(5000) }, '/totp')).status).toBe(400);
  });

  it('that is wrong says so, and the next right one is taken', async () => {
    const { person, step, secret } = await challenged();
    const refused = await person.submit(step, { code: wrongCode(secret) }, '/totp');
    expect([refused.status, refused.html.includes('That code did not work.')]).toEqual([422, true]);
    expect(refused.html).toContain('autocomplete="one-time-code"');
    expect((await person.submit(refused, { code: codeAt(secret) }, '/totp')).isAway).toBe(true);
  });

  it('is taken from the step before and the one after, and from no other', async () => {
    for (const [aheadMs, isTaken] of [
      [-90_000, false],
      [90_000, false],
      [30_000, true],
    ] as const) {
      const { person, step, secret } = await challenged();
      const visited = await person.submit(step, { code: codeAt(secret, aheadMs) }, '/totp');
      expect([aheadMs, visited.isAway]).toEqual([aheadMs, isTaken]);
    }
  });

  it('that came too often has to wait, and says how long', async () => {
    const { person, step, secret } = await challenged();
    let response: Response | undefined;
    for (let attempt = 0; attempt < 8; attempt += 1) {
      response = await person.request(`${step.url.pathname}/totp${step.url.search}`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams({ code: wrongCode(secret) }),
      });
    }
    expect(response?.status).toBe(429);
    expect(Number(response?.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await response?.text()).toMatch(/second|minute/);
  });
});

describe('a recovery code', () => {
  it.each<[string, (code: string) => string]>([
    ['as it was shown', (code) => code],
    ['in capital letters', (code) => code.toUpperCase()],
    ['without hyphens', (code) => code.replaceAll('-', '')],
    ['with spaces for hyphens', (code) => ` ${code.replaceAll('-', ' ')} `],
    ['with o for 0 and l for 1', (code) => code.replaceAll('0', 'o').replaceAll('1', 'l')],
  ])('is taken %s, once', async (_name, type) => {
    const { who, person, step, recoveryCodes } = await challenged();
    const code = type(recoveryCodes[0] ?? '');
    const visited = await person.submit(await openRecovery(person, step), { code }, '/recovery-code');
    expect(visited.isAway).toBe(true);
    const again = await signIn(who, application);
    const page = await openRecovery(again.person, again.step);
    const refused = await again.person.submit(page, { code }, '/recovery-code');
    expect([refused.status, refused.html.includes('That recovery code did not work.')]).toEqual([422, true]);
    const other = { code: recoveryCodes[1] ?? '' };
    expect((await again.person.submit(refused, other, '/recovery-code')).isAway).toBe(true);
  });

  it.each([
    ['half of one', 'x7k2-9f'],
    ['two at once', 'x7k2-9fqd-4m0v x7k2-9fqd-4m0v'],
    ['a code from the app', '123456'],
    ['nothing', ''],
    ['a NUL byte', '\u0000'],
  ])('that is %s is a field error', async (_name, code) => {
    const { person, step } = await challenged();
    const visited = await person.submit(await openRecovery(person, step), { code }, '/recovery-code');
    expect([visited.status, visited.html.includes('not a whole recovery code')]).toEqual([422, true]);
    expect(
      (await person.open(visited.url.pathname.replace('/recovery-code', '') + visited.url.search)).html,
    ).toContain('/totp?');
  });
});

describe('enrolment', () => {
  async function enrolling() {
    const who = await registerPerson(server);
    return { who, ...(await signIn(who, strict)) };
  }

  it('shows the same key after a reload and after a wrong code, and names who asks', async () => {
    const { person, step, who } = await enrolling();
    const key = keyOn(step.html);
    expect(step.html).toContain('Vault');
    expect(step.html).toContain(encodeURIComponent(who.email));
    expect(keyOn((await person.open(step.url.href)).html)).toBe(key);
    const wrong = await person.submit(step, { code: wrongCode(key) }, '/enrol');
    expect([wrong.status, keyOn(wrong.html)]).toEqual([422, key]);
    const malformed = await person.submit(step, { code: '12' }, '/enrol');
    expect([malformed.status, keyOn(malformed.html)]).toEqual([422, key]);
    expect(await server.subjects.factors.hasTotp(who.account.id)).toBe(false);
  });

  it('does not count until it is confirmed: elsewhere the account still has one factor', async () => {
    const { who, step } = await enrolling();
    expect(step.html).toContain('/enrol?');
    expect((await signIn(who, application)).step.isAway).toBe(true);
  });

  it('shows the codes once, renews them on demand, and then goes on', async () => {
    const { person, step, request, who } = await enrolling();
    const shown = await person.submit(step, { code: fullWidth(codeAt(keyOn(step.html))) }, '/enrol');
    const codes = codesOn(shown.html);
    expect([shown.status, codes.length]).toEqual([200, 10]);
    const reloaded = await person.open(shown.url.pathname.replace('/enrol', '') + shown.url.search);
    expect(reloaded.html).toContain('Your recovery codes were shown');
    expect(codesOn(reloaded.html)).toEqual([]);
    const renewed = await person.submit(reloaded, {}, '/recovery-codes/renew');
    const fresh = codesOn(renewed.html);
    expect(fresh.length).toBe(10);
    expect(fresh.some((code) => codes.includes(code))).toBe(false);
    const visited = await person.submit(renewed, {}, '/recovery-codes?');
    const tokens = await tokensOf(strict, { code: codeOf(visited), verifier: request.verifier });
    expect(decodeJwt(tokens.id_token ?? '')).toMatchObject({ acr: 'aal2', amr: ['pwd', 'otp', 'mfa'] });

    const again = await signIn(who, application);
    const page = await openRecovery(again.person, again.step);
    expect((await again.person.submit(page, { code: codes[0] ?? '' }, '/recovery-code')).status).toBe(422);
    expect((await again.person.submit(page, { code: fresh[0] ?? '' }, '/recovery-code')).isAway).toBe(true);
  });

  it('cannot be begun anew, nor its codes renewed, by who only has the password', async () => {
    const { who, person, step, secret } = await challenged(strict);
    for (const form of ['enrol', 'recovery-codes', 'recovery-codes/renew']) {
      const response = await person.request(`${step.url.pathname}/${form}${step.url.search}`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: form === 'enrol' ? 'code=123456' : '',
      });
      expect([form, response.status]).toEqual([form, 303]);
      const landed = await person.open(response.headers.get('location') ?? '');
      expect(landed.html).toContain('/totp?');
    }
    expect(await server.subjects.factors.remainingRecoveryCodes(who.account.id)).toBe(10);
    expect((await person.submit(step, { code: codeAt(secret) }, '/totp')).isAway).toBe(true);
  });
});

function codesOn(html: string): string[] {
  return [...html.matchAll(/<li><code>([^<]+)<\/code><\/li>/g)].map(([, code]) => code ?? '');
}

async function tokensOf(client: Application, grant: { code: string; verifier: string }): Promise<Tokens> {
  const response = await redeem(server, client, grant);
  expect(response.status).toBe(200);
  return (await response.json()) as Tokens;
}

describe('a second factor is asked for', () => {
  it('when a role of the person wants it', async () => {
    const who = await registerPerson(server);
    await buildRole({ db: server.database.db, accounts: [who.account], requiresMfa: true });
    const { step } = await signIn(who, application);
    expect(step.html).toContain('/enrol?');
    expect(step.html).toContain('Your account');
  });

  it('when the request wants it, and then not again in that session', async () => {
    const who = await registerPerson(server);
    const { person, step } = await signIn(who, application, { acr_values: 'aal2' });
    const codes = await person.submit(step, { code: codeAt(keyOn(step.html)) }, '/enrol');
    expect((await person.submit(codes, {}, '/recovery-codes?')).isAway).toBe(true);
    for (const client of [application, strict]) {
      const { url } = authorizationRequest(server, client, { acr_values: 'aal2', prompt: 'none' });
      expect((await person.open(url)).url.searchParams.has('code')).toBe(true);
    }
  });

  it('when everybody must have one', async () => {
    const demanding = await startGatehouse({ env: { GATEHOUSE_MFA_REQUIRED: 'true' } });
    try {
      const client = await registerApplication(demanding);
      const { email, password } = await registerPerson(demanding);
      const person = createPerson(demanding.issuer);
      const page = await person.open(authorizationRequest(demanding, client).url);
      const step = await person.submit(page, { identifier: email, password }, '/login');
      expect(step.html).toContain('/enrol?');
    } finally {
      await demanding.stop();
    }
  });

  it('again after an operator took it away, and no session outlives that', async () => {
    const { who, person, step, secret } = await challenged(strict);
    expect((await person.submit(step, { code: codeAt(secret) }, '/totp')).isAway).toBe(true);
    await server.subjects.factors.resetFactors(who.account.id, OPERATOR);
    await server.subjects.revocations.refresh();
    const page = await person.open(authorizationRequest(server, strict).url);
    expect(page.html).toContain('name="password"');
    skewMs = 5_000;
    const anew = await signIn(who, strict, {}, person);
    expect(anew.step.html).toContain('/enrol?');
  });
});
