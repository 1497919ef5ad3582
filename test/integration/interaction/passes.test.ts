/** What people do to pages: reload them, go back, open them twice, click twice, leave them lying. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import {
  authorizationRequest,
  codeOf,
  OPERATOR,
  redeem,
  registerApplication,
  registerPerson,
  type Application,
} from '../../support/application.ts';
import { codeAt, enrol, keyOn } from '../../support/authenticator.ts';
import { buildRole } from '../../support/factories/role.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person, type Visited } from '../../support/person.ts';

let server: TestServer;
/** First-party: a password and no question. */
let plain: Application;
/** Asks for consent each time. */
let asking: Application;
/** Wants two factors. */
let strict: Application;
let skewMs = 0;

beforeAll(async () => {
  server = await startGatehouse({ clock: { now: () => new Date(Date.now() + skewMs) } });
  plain = await registerApplication(server, {
    name: 'Plain',
    clientUri: 'https://app.example/home',
    initiateLoginUri: 'https://app.example/login',
  });
  asking = await registerApplication(server, {
    name: 'Asking',
    firstParty: false,
    consent: 'always',
    clientUri: 'https://app.example/home',
  });
  strict = await registerApplication(server, { name: 'Strict', requireMfa: true });
});
afterAll(() => server.stop());
afterEach(() => {
  skewMs = 0;
});

const fieldsOf = ({ email, password }: { email: string; password: string }) => ({
  identifier: email,
  password,
});

async function begin(application: Application, person = createPerson(server.issuer)) {
  const request = authorizationRequest(server, application);
  return { person, request, page: await person.open(request.url) };
}

/** The form's POST alone, without following where it leads. */
function post(
  person: Person,
  page: Visited,
  form: string,
  fields: Record<string, string>,
): Promise<Response> {
  return person.request(`${page.url.pathname}/${form}${page.url.search}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', origin: server.issuer },
    body: new URLSearchParams(fields),
  });
}

async function atConsent() {
  const who = await registerPerson(server);
  const { person, request, page } = await begin(asking);
  return { who, person, request, page: await person.submit(page, fieldsOf(who), '/login') };
}

async function atSecondFactor() {
  const who = await registerPerson(server);
  const { secret } = await enrol(server, who.account);
  const { person, request, page } = await begin(strict);
  return { who, secret, person, request, page: await person.submit(page, fieldsOf(who), '/login') };
}

async function atEnrolment() {
  const who = await registerPerson(server);
  const { person, request, page } = await begin(strict);
  return { who, person, request, page: await person.submit(page, fieldsOf(who), '/login') };
}

async function atAccess() {
  const role = await buildRole({ db: server.database.db });
  const guarded = await registerApplication(server, { requireRole: role.name });
  const who = await registerPerson(server);
  const { person, request, page } = await begin(guarded);
  return { who, person, request, page: await person.submit(page, fieldsOf(who), '/login') };
}

const STEPS: [string, () => Promise<{ person: Person; page: Visited }>, number, string][] = [
  ['sign-in', () => begin(plain), 200, '/login'],
  ['second factor', atSecondFactor, 200, '/totp'],
  ['enrolment', atEnrolment, 200, '/enrol'],
  ['missing role', atAccess, 403, '/access'],
  ['consent', atConsent, 200, '/consent'],
];

describe.each(STEPS)('the page of the %s', (_name, reach, status, action) => {
  it('is the same again after a reload, and is kept by nobody', async () => {
    const { person, page } = await reach();
    expect([page.status, page.html.includes(`${action}?`)]).toEqual([status, true]);
    const again = await person.request(page.url.href);
    expect(again.headers.get('cache-control')).toContain('no-store');
    expect(await again.text()).toBe(page.html);
  });

  it('is where the address of its form leads, which a refused form leaves in the address bar', async () => {
    const { person, page } = await reach();
    const refused = await post(person, page, action.slice(1), {});
    const visited = await person.open(refused.url);
    expect([visited.status, visited.url.href]).toEqual([status, page.url.href]);
  });

  it('takes a form of any other step for an old tab, and shows itself', async () => {
    const { person, page } = await reach();
    const own = action.slice(1);
    for (const form of ['login', 'totp', 'enrol', 'recovery-codes', 'access', 'switch', 'consent']) {
      const isSameStep = form === own || (/totp|enrol/.test(own) && /totp|enrol|recovery/.test(form));
      if (isSameStep || (own === 'access' && form === 'switch')) continue;
      const response = await post(person, page, form, { identifier: 'a', password: 'b', decision: 'allow' });
      expect([form, response.status]).toEqual([form, 303]);
      const landed = await person.open(response.headers.get('location') ?? '');
      expect([landed.status, landed.html]).toEqual([page.status, page.html]);
    }
  });

  it('is over after its time, says so, and leads back to the application', async () => {
    const { person, page } = await reach();
    skewMs = 21 * 60_000;
    for (const response of [
      await person.request(page.url.href),
      await post(person, page, action.slice(1), { code: '123456', decision: 'allow' }),
    ]) {
      const html = await response.text();
      expect(response.status).toBe(410);
      expect(html).toContain('This page has expired');
      expect(html).toContain('20 minutes');
      expect(html).not.toContain('<form');
    }
  });
});

it.each([
  ['initiate_login_uri first', () => plain, 'https://app.example/login'],
  ['else client_uri', () => asking, 'https://app.example/home'],
])('an expired page leads back by %s', async (_name, application, href) => {
  const { person, page } = await begin(application());
  skewMs = 21 * 60_000;
  expect((await person.open(page.url.href)).html).toContain(`href="${href}"`);
});

it('an expired page leads nowhere where the application named nothing', async () => {
  const { person, page } = await begin(strict);
  skewMs = 21 * 60_000;
  expect((await person.open(page.url.href)).html).not.toMatch(/<a [^>]*href="https?:/);
});

it('without cookies says so, and leads back to the application', async () => {
  const { page } = await begin(plain);
  const visited = await createPerson(server.issuer).open(page.url.href);
  expect(visited.status).toBe(400);
  expect(visited.html).toContain('did not keep our cookie');
  expect(visited.html).toContain('href="https://app.example/login"');
});

describe('going back', () => {
  it('after the sign-in is done shows that the page is over, and the session stands', async () => {
    const who = await registerPerson(server);
    const { person, page } = await begin(plain);
    expect((await person.submit(page, fieldsOf(who), '/login')).isAway).toBe(true);
    const back = await person.open(page.url.href);
    expect([back.status, back.html.includes('href="https://app.example/login"')]).toEqual([410, true]);
    const again = await post(person, page, 'login', fieldsOf(who));
    expect(again.status).toBe(410);
    expect((await begin(plain, person)).page.isAway).toBe(true);
  });

  it('from consent to the password shows consent again', async () => {
    const { person, page, who } = await atConsent();
    const old = await post(person, page, 'login', fieldsOf(who));
    const landed = await person.open(old.headers.get('location') ?? '');
    expect(landed.html).toBe(page.html);
    expect((await person.submit(landed, { decision: 'allow' }, '/consent')).isAway).toBe(true);
  });
});

describe('two tabs', () => {
  it('that ask for the password both finish, in one session', async () => {
    const who = await registerPerson(server);
    const person = createPerson(server.issuer);
    const [one, two] = [await begin(plain, person), await begin(plain, person)];
    const first = await person.submit(one.page, fieldsOf(who), '/login');
    const second = await person.submit(two.page, fieldsOf(who), '/login');
    for (const [visited, { request }] of [
      [first, one],
      [second, two],
    ] as const) {
      const response = await redeem(server, plain, { code: codeOf(visited), verifier: request.verifier });
      expect(response.status).toBe(200);
    }
  });

  it('both finish when the forms are sent at once', async () => {
    const who = await registerPerson(server);
    const person = createPerson(server.issuer);
    const tabs = [await begin(plain, person), await begin(plain, person), await begin(plain, person)];
    const landed = await Promise.all(tabs.map(({ page }) => person.submit(page, fieldsOf(who), '/login')));
    for (const visited of landed) expect(codeOf(visited)).toMatch(/^ac_/);
  });

  it('of which one signs in let the other go on without asking again', async () => {
    const who = await registerPerson(server);
    const person = createPerson(server.issuer);
    const [one, two] = [await begin(plain, person), await begin(asking, person)];
    await person.submit(one.page, fieldsOf(who), '/login');
    const second = await person.submit(two.page, fieldsOf(who), '/login');
    expect(second.html).toContain('Allow');
    expect((await person.submit(second, { decision: 'allow' }, '/consent')).isAway).toBe(true);
  });

  it('at consent both finish', async () => {
    const who = await registerPerson(server);
    const { person, page } = await begin(asking);
    const one = await person.submit(page, fieldsOf(who), '/login');
    const { page: two } = await begin(asking, person);
    expect((await person.submit(two, { decision: 'allow' }, '/consent')).isAway).toBe(true);
    expect((await person.submit(one, { decision: 'allow' }, '/consent')).isAway).toBe(true);
  });

  it('that enrol share one key, and the later one is asked for a code', async () => {
    const who = await registerPerson(server);
    const person = createPerson(server.issuer);
    const tabs = [await begin(strict, person), await begin(strict, person)];
    const pages = [];
    for (const { page } of tabs) pages.push(await person.submit(page, fieldsOf(who), '/login'));
    const [one, two] = pages as [Visited, Visited];
    expect(keyOn(two.html)).toBe(keyOn(one.html));
    const key = keyOn(one.html);
    const codes = await person.submit(one, { code: codeAt(key) }, '/enrol');
    expect(codes.html).toContain('Save your recovery codes');
    const asked = await person.submit(two, { code: codeAt(key, 30_000) }, '/enrol');
    expect(asked.html).toContain('/totp?');
    expect((await person.submit(asked, { code: codeAt(key, 30_000) }, '/totp')).isAway).toBe(true);
    expect((await person.submit(codes, {}, '/recovery-codes')).isAway).toBe(true);
  });
});

describe('a double click', () => {
  it('on the password ends in one code', async () => {
    const who = await registerPerson(server);
    const { person, page } = await begin(plain);
    await post(person, page, 'login', fieldsOf(who));
    const second = await post(person, page, 'login', fieldsOf(who));
    expect((await person.open(second.headers.get('location') ?? '')).isAway).toBe(true);
  });

  it('on a code from the app goes on, although the code is spent', async () => {
    const { person, page, secret } = await atSecondFactor();
    const code = codeAt(secret);
    expect((await post(person, page, 'totp', { code })).status).toBe(303);
    const second = await post(person, page, 'totp', { code });
    expect(second.status).toBe(303);
    expect((await person.open(second.headers.get('location') ?? '')).isAway).toBe(true);
  });

  it('on a code followed by a reload goes on, and shows no recovery codes that never were', async () => {
    const { person, page, secret } = await atSecondFactor();
    await post(person, page, 'totp', { code: codeAt(secret) });
    expect((await person.open(page.url.href)).isAway).toBe(true);
  });

  it('on a recovery code goes on', async () => {
    const who = await registerPerson(server);
    const { recoveryCodes } = await enrol(server, who.account);
    const { person, page } = await begin(strict);
    const step = await person.submit(page, fieldsOf(who), '/login');
    const code = recoveryCodes[0] ?? '';
    expect((await post(person, step, 'recovery-code', { code })).status).toBe(303);
    const second = await post(person, step, 'recovery-code', { code });
    expect((await person.open(second.headers.get('location') ?? '')).isAway).toBe(true);
  });

  it('on the confirmation of an enrolment ends at the recovery codes', async () => {
    const { person, page } = await atEnrolment();
    const code = codeAt(keyOn(page.html));
    expect((await post(person, page, 'enrol', { code })).status).toBe(200);
    const second = await post(person, page, 'enrol', { code });
    const landed = await person.open(second.headers.get('location') ?? '');
    expect(landed.html).toContain('Your recovery codes were shown');
    expect((await person.submit(landed, {}, '/recovery-codes')).isAway).toBe(true);
  });

  it.each([
    ['allow', 'code'],
    ['deny', 'error'],
  ])('on consent (%s) ends in one answer', async (decision, parameter) => {
    const { person, page } = await atConsent();
    await post(person, page, 'consent', { decision });
    const second = await post(person, page, 'consent', { decision });
    const landed = await person.open(second.headers.get('location') ?? '');
    expect([landed.isAway, landed.url.searchParams.has(parameter)]).toEqual([true, true]);
  });
});

describe('two clicks that arrive at once', () => {
  it.each<
    [string, () => Promise<{ person: Person; page: Visited; form: string; fields: Record<string, string> }>]
  >([
    [
      'a password',
      async () => {
        const who = await registerPerson(server);
        return { ...(await begin(plain)), form: 'login', fields: fieldsOf(who) };
      },
    ],
    [
      'a code from the app',
      async () => {
        const reached = await atSecondFactor();
        return { ...reached, form: 'totp', fields: { code: codeAt(reached.secret) } };
      },
    ],
    [
      'an enrolment',
      async () => {
        const reached = await atEnrolment();
        return { ...reached, form: 'enrol', fields: { code: codeAt(keyOn(reached.page.html)) } };
      },
    ],
    ['consent', async () => ({ ...(await atConsent()), form: 'consent', fields: { decision: 'allow' } })],
    ['a missing role', async () => ({ ...(await atAccess()), form: 'access', fields: {} })],
  ])('with %s leave the person where they can go on', async (_name, reach) => {
    const { person, page, form, fields } = await reach();
    const answers = await Promise.all([1, 2, 3, 4].map(() => post(person, page, form, fields)));
    for (const answer of answers) expect([200, 303, 422]).toContain(answer.status);
    expect(answers.map(({ status }) => status)).toContain(form === 'enrol' ? 200 : 303);
    let landed = await person.open(page.url.href);
    if (form === 'enrol') {
      expect(landed.html).toContain('Your recovery codes were shown');
      landed = await person.submit(landed, {}, '/recovery-codes?');
    }
    if (!landed.isAway)
      landed = await person.open(`${server.issuer}/oauth/authorize/${page.url.pathname.split('/').at(-1)}`);
    expect(landed.isAway).toBe(true);
  });
});

it('a client that is deleted meanwhile ends the pass', async () => {
  const doomed = await registerApplication(server, { clientUri: 'https://app.example/' });
  const { person, page } = await begin(doomed);
  await server.subjects.clients.delete(doomed.clientId, OPERATOR);
  const visited = await person.open(page.url.href);
  expect([visited.status, visited.html.includes('app.example')]).toEqual([410, false]);
  const sent = await post(person, page, 'login', { identifier: 'a', password: 'b' });
  expect(sent.status).toBe(410);
});

describe('an account that is disabled meanwhile', () => {
  it.each(STEPS.slice(1))(
    'gets no further than the page of the %s',
    async (_name, reach, _status, action) => {
      const { person, page, who } = (await reach()) as Awaited<ReturnType<typeof atConsent>>;
      await server.subjects.accounts.disable(who.account.id, OPERATOR);
      const fields = action === '/consent' ? { decision: 'allow' } : { code: '123456' };
      const sent = await post(person, page, action.slice(1), action === '/access' ? {} : fields);
      expect([303, 403, 410]).toContain(sent.status);
      const location = sent.headers.get('location');
      if (location !== null) {
        const landed = await person.open(location);
        expect(landed.url.searchParams.has('code')).toBe(false);
      }
      await server.subjects.revocations.refresh();
      expect((await person.open(page.url.href)).status).toBe(410);
      expect((await begin(plain, person)).page.html).toContain('name="password"');
    },
  );
});
