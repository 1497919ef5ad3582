/** What a request may demand of the sign-in (OIDC Core §3.1.2.1), and what the ID token then says of it. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt, type JWTPayload } from 'jose';

import {
  authorizationRequest,
  codeOf,
  redeem,
  refresh,
  registerApplication,
  registerPerson,
  type Application,
  type Tokens,
} from '../../support/application.ts';
import { codeAt, enrol } from '../../support/authenticator.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person } from '../../support/person.ts';

let server: TestServer;
let application: Application;
beforeAll(async () => {
  server = await startGatehouse();
  application = await registerApplication(server);
});
afterAll(() => server.stop());

type Who = Awaited<ReturnType<typeof registerPerson>>;

/** From the request to the ID token, with password and code typed where they are asked for. */
async function walk(
  person: Person,
  who: Who & { secret?: string },
  parameters: Record<string, string> = {},
): Promise<{ claims: JWTPayload; tokens: Tokens; asked: string[] }> {
  const request = authorizationRequest(server, application, parameters);
  const asked: string[] = [];
  let page = await person.open(request.url);
  if (page.html.includes('name="password"')) {
    asked.push('password');
    page = await person.submit(page, { identifier: who.email, password: who.password }, '/login');
  }
  if (page.html.includes('/totp?')) {
    asked.push('code');
    page = await person.submit(page, { code: codeAt(who.secret ?? '', 30_000 * codesUsed) }, '/totp');
    codesUsed += 1;
  }
  const response = await redeem(server, application, { code: codeOf(page), verifier: request.verifier });
  const tokens = (await response.json()) as Tokens;
  const claims = decodeJwt(tokens.id_token ?? '');
  expect(claims['nonce']).toBe(request.nonce);
  return { claims, tokens, asked };
}

/** Each code is spent once; within one test the present step's comes first, then the next one's. */
let codesUsed = 0;

const seconds = (): number => Math.floor(Date.now() / 1000);
const untilNextSecond = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1100));

it('a password alone is aal1', async () => {
  const { claims } = await walk(createPerson(server.issuer), await registerPerson(server));
  expect(claims).toMatchObject({ acr: 'aal1', amr: ['pwd'] });
  expect(Math.abs(Number(claims['auth_time']) - seconds())).toBeLessThan(10);
});

it('a password and a code are aal2', async () => {
  codesUsed = 0;
  const who = await registerPerson(server);
  const { secret } = await enrol(server, who.account);
  const { claims, asked } = await walk(createPerson(server.issuer), { ...who, secret });
  expect(asked).toEqual(['password', 'code']);
  expect(claims).toMatchObject({ acr: 'aal2', amr: ['pwd', 'otp', 'mfa'] });
});

it('a step up asks for the second factor alone, keeps the time of the sign-in, and lasts', async () => {
  codesUsed = 0;
  const person = createPerson(server.issuer);
  const who = await registerPerson(server);
  const before = await walk(person, who);
  const { secret } = await enrol(server, who.account);
  await untilNextSecond();
  const stepped = await walk(person, { ...who, secret }, { acr_values: 'aal2' });
  expect(stepped.asked).toEqual(['code']);
  expect(stepped.claims).toMatchObject({
    acr: 'aal2',
    amr: ['pwd', 'otp', 'mfa'],
    auth_time: before.claims['auth_time'],
  });
  expect((await walk(person, { ...who, secret }, { acr_values: 'aal1' })).asked).toEqual([]);
});

it('the first class that a request names decides, and unknown ones are passed over', async () => {
  const person = createPerson(server.issuer);
  const who = await registerPerson(server);
  expect((await walk(person, who, { acr_values: 'aal1 aal2' })).claims['acr']).toBe('aal1');
  expect((await walk(person, who, { acr_values: 'urn:example:gold' })).claims['acr']).toBe('aal1');
  const page = await person.open(
    authorizationRequest(server, application, { acr_values: 'urn:example:gold aal2' }).url,
  );
  expect(page.html).toContain('/enrol?');
});

it.each<[string, Record<string, string>]>([
  ['prompt=login', { prompt: 'login' }],
  ['max_age=0', { max_age: '0' }],
])('%s asks for the password again, says why, and renews auth_time', async (_name, parameters) => {
  const person = createPerson(server.issuer);
  const who = await registerPerson(server);
  const before = await walk(person, who);
  await untilNextSecond();
  const page = await person.open(authorizationRequest(server, application, parameters).url);
  expect(page.html).toContain('Sign in again to continue.');
  const after = await walk(person, who, parameters);
  expect(after.asked).toEqual(['password']);
  expect(Number(after.claims['auth_time'])).toBeGreaterThan(Number(before.claims['auth_time']));
});

it('prompt=login asks for the second factor again too', async () => {
  codesUsed = 0;
  const person = createPerson(server.issuer);
  const who = await registerPerson(server);
  const { secret } = await enrol(server, who.account);
  await walk(person, { ...who, secret });
  const again = await walk(person, { ...who, secret }, { prompt: 'login' });
  expect(again.asked).toEqual(['password', 'code']);
  expect(again.claims['acr']).toBe('aal2');
});

it('max_age lets a sign-in count that is younger, and tells its age', async () => {
  const person = createPerson(server.issuer);
  const who = await registerPerson(server);
  const before = await walk(person, who);
  const after = await walk(person, who, { max_age: '3600' });
  expect(after.asked).toEqual([]);
  expect(after.claims['auth_time']).toBe(before.claims['auth_time']);
});

describe('prompt=none', () => {
  const errorOf = async (person: Person, parameters: Record<string, string> = {}): Promise<string | null> => {
    const { url } = authorizationRequest(server, application, { prompt: 'none', ...parameters });
    const visited = await person.open(url);
    expect(visited.isAway).toBe(true);
    expect(visited.url.searchParams.get('iss')).toBe(server.issuer);
    return visited.url.searchParams.get('error');
  };

  it('answers without a question where none is due, and else says which one is', async () => {
    const person = createPerson(server.issuer);
    expect(await errorOf(person)).toBe('login_required');
    const who = await registerPerson(server);
    await walk(person, who);
    expect(await errorOf(person)).toBeNull();
    expect(await errorOf(person, { acr_values: 'aal2' })).toBe('interaction_required');
    await untilNextSecond();
    expect(await errorOf(person, { max_age: '0' })).toBe('login_required');
    await enrol(server, who.account);
    expect(await errorOf(person)).toBe('interaction_required');
  });

  it('answers for the person of the hint alone', async () => {
    const [one, two] = [createPerson(server.issuer), createPerson(server.issuer)];
    const { tokens } = await walk(one, await registerPerson(server));
    await walk(two, await registerPerson(server));
    const hint = { id_token_hint: tokens.id_token ?? '' };
    expect(await errorOf(one, hint)).toBeNull();
    expect(await errorOf(two, hint)).toBe('login_required');
  });
});

it('login_hint fills in the name, and is escaped', async () => {
  const person = createPerson(server.issuer);
  for (const [hint, shown] of [
    ['ada@example.test', 'value="ada@example.test"'],
    ['"><script>alert(1)</script>', 'value="&#34;&gt;&lt;script&gt;'],
  ] as const) {
    const { url } = authorizationRequest(server, application, { login_hint: hint });
    const { html } = await person.open(url);
    expect(html).toContain(shown);
    expect(html).not.toContain('<script>alert');
  }
});

it('a refreshed ID token says what the first one said of the sign-in', async () => {
  const { claims, tokens } = await walk(createPerson(server.issuer), await registerPerson(server));
  const response = await refresh(server, application, tokens.refresh_token ?? '');
  const renewed = decodeJwt(((await response.json()) as Tokens).id_token ?? '');
  for (const name of ['iss', 'sub', 'aud', 'acr', 'amr', 'auth_time'])
    expect(renewed[name]).toEqual(claims[name]);
});

it('many people at once: who finds no place is told so at once, and tries again', async () => {
  const small = await startGatehouse({
    env: {
      GATEHOUSE_PASSWORD_WORKERS: '1',
      GATEHOUSE_PASSWORD_QUEUE_LENGTH: '1',
      GATEHOUSE_PASSWORD_MEMORY_KIB: '65536',
      GATEHOUSE_PASSWORD_ITERATIONS: '3',
    },
  });
  try {
    const client = await registerApplication(small);
    const { email, password } = await registerPerson(small);
    const people = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const person = createPerson(small.issuer);
        return { person, page: await person.open(authorizationRequest(small, client).url) };
      }),
    );
    const answers = await Promise.all(
      people.map(({ person, page }) =>
        person.request(`${page.url.pathname}/login${page.url.search}`, {
          method: 'POST',
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
          body: new URLSearchParams({ identifier: email, password }),
        }),
      ),
    );
    const busy = answers.filter(({ status }) => status === 503);
    expect(answers.filter(({ status }) => status === 303).length).toBeGreaterThan(0);
    expect(busy.length).toBeGreaterThan(0);
    for (const response of busy) {
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
      const html = await response.text();
      expect(html).toContain(`value="${email}"`);
      expect(html).not.toContain(password);
    }
    const late = people[answers.findIndex(({ status }) => status === 503)]!;
    expect((await late.person.submit(late.page, { identifier: email, password }, '/login')).isAway).toBe(
      true,
    );
  } finally {
    await small.stop();
  }
});
