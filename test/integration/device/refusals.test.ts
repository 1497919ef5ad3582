/** What must not lead to a token, and what a person is told then (RFC 8628 §3.5, §5). */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';

import {
  type Application,
  OPERATOR,
  refresh,
  registerApplication,
  registerPerson,
  type Tokens,
} from '../../support/application.ts';
import { refusalOf, tokensOf } from '../../support/apis.ts';
import {
  approve,
  enterCode,
  pollDevice,
  registerDevice,
  requestDeviceCode,
  startDevice,
  type StartedDevice,
} from '../../support/devices.ts';
import { createShiftedClock } from '../../support/clock.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person, type Visited } from '../../support/person.ts';
import { recordedOf } from '../../support/recorded.ts';

type Credentials = Awaited<ReturnType<typeof registerPerson>>;

/** More than the tests before the last need. */
const FREE_BY_ADDRESS = 60;

let server: TestServer;
let tv: Application;
let credentials: Credentials;
beforeAll(async () => {
  server = await startGatehouse({
    clock: createShiftedClock(),
    env: { GATEHOUSE_THROTTLE_USER_CODE_ADDRESS_FREE_FAILURES: String(FREE_BY_ADDRESS) },
  });
  tv = await registerDevice(server);
}, 60_000);
afterAll(() => server?.stop());
beforeEach(async () => {
  credentials = await registerPerson(server);
});
afterEach(() => {
  jest.restoreAllMocks();
});

/** The library reads the time of the process, and so does this clock. */
function later(seconds: number): void {
  const now = Date.now();
  jest.spyOn(Date, 'now').mockImplementation(() => now + seconds * 1000);
}

async function approved(
  parameters: Record<string, string> = {},
): Promise<{ started: StartedDevice; person: Person }> {
  const started = await startDevice(server, tv, parameters);
  const person = createPerson(server.issuer);
  const page = await approve(person, server, started.user_code, credentials);
  expect(page.html).toContain('Your device is connected');
  return { started, person };
}

const poll = ({ device_code: code }: StartedDevice, application = tv): Promise<Response> =>
  pollDevice(server, application, code);

async function recordOf(answer: Response | Visited): Promise<[string, unknown][]> {
  const events = await recordedOf(server, answer as Response);
  return events.map(({ type, payload }) => [type, payload['reason'] ?? payload['error']]);
}

describe('a device', () => {
  it('is told to wait, which is no refusal, and to slow down, which is one', async () => {
    const started = await startDevice(server, tv);
    const first = await poll(started);
    expect(await refusalOf(first)).toEqual([400, 'authorization_pending']);
    expect(await recordOf(first)).toEqual([]);
    const second = await poll(started);
    expect(await refusalOf(second)).toEqual([400, 'slow_down']);
    expect(await recordOf(second)).toEqual([['token.refused', expect.stringContaining('too quickly')]]);
    // Five seconds longer than the five of the answer.
    later(6);
    expect(await refusalOf(await poll(started))).toEqual([400, 'slow_down']);
    later(15);
    expect(await refusalOf(await poll(started))).toEqual([400, 'authorization_pending']);
  });

  it('is refused once the code has expired, and so is the person', async () => {
    const started = await startDevice(server, tv);
    later(started.expires_in + 1);
    const answer = await poll(started);
    expect(await refusalOf(answer)).toEqual([400, 'expired_token']);
    expect(await recordOf(answer)).toEqual([['token.refused', expect.stringContaining('expired')]]);
    const page = await enterCode(createPerson(server.issuer), server, started.user_code);
    expect([page.status, page.html]).toEqual([410, expect.stringContaining('That code has ended.')]);
    expect(await recordOf(page)).toEqual([['device.refused', 'the code has expired']]);
  });

  it('gets nothing for the code of another one, which stays good', async () => {
    const other = await registerDevice(server);
    const { started } = await approved();
    const answer = await poll(started, other);
    expect(await refusalOf(answer)).toEqual([400, 'invalid_grant']);
    expect(await recordOf(answer)).toEqual([['token.refused', 'client mismatch']]);
    expect((await poll(started)).status).toBe(200);
  });

  it('loses what it got when the code comes again', async () => {
    const { started } = await approved();
    const tokens = await tokensOf(await poll(started));
    const replay = await poll(started);
    expect(await refusalOf(replay)).toEqual([400, 'invalid_grant']);
    expect((await recordOf(replay)).map(([type]) => type)).toEqual(
      expect.arrayContaining(['token.replayed', 'token.refused']),
    );
    expect(await refusalOf(await refresh(server, tv, tokens.refresh_token ?? ''))).toEqual([
      400,
      'invalid_grant',
    ]);
  });

  it('needs a client that was registered for it', async () => {
    const wiki = await registerApplication(server);
    const refused = await requestDeviceCode(server, wiki);
    expect(await refusalOf(refused)).toEqual([400, 'unauthorized_client']);
    expect(await recordOf(refused)).toEqual([['device.refused', expect.stringContaining('not allowed')]]);
    const { started } = await approved();
    expect(await refusalOf(await poll(started, wiki))).toEqual([400, 'unauthorized_client']);
    const stranger = { ...tv, clientId: 'nobody' };
    expect(await refusalOf(await requestDeviceCode(server, stranger))).toEqual([401, 'invalid_client']);
  });

  it('may not ask for more than the client may', async () => {
    const modest = await registerDevice(server, { scopes: ['openid'] });
    expect(await refusalOf(await requestDeviceCode(server, modest))).toEqual([400, 'invalid_scope']);
  });

  it('gets a code whatever else it asks for', async () => {
    const scope = `openid ${'x'.repeat(10_000)}`;
    expect((await requestDeviceCode(server, tv, { scope, device_code: 'x', user_code: 'x' })).status).toBe(
      200,
    );
  });

  it('has to authenticate where it can', async () => {
    const box = await registerDevice(server, { authMethod: 'client_secret_basic' });
    const answer = await requestDeviceCode(server, { ...box, secret: 'wrong' });
    expect(await refusalOf(answer)).toEqual([401, 'invalid_client']);
    expect((await startDevice(server, box)).interval).toBe(5);
  });
});

describe('between the approval and the redemption', () => {
  const ENDINGS: [string, (given: { person: Person }) => Promise<unknown>][] = [
    ['the account is disabled', () => server.subjects.accounts.disable(credentials.account.id, OPERATOR)],
    [
      'the person is signed out of the device',
      () => server.subjects.signOut.application(credentials.account, tv.clientId, OPERATOR),
    ],
    [
      'the person signs out',
      async ({ person }) =>
        person.submit(await person.open(`${server.issuer}/oauth/logout`), { logout: 'yes' }, 'logout'),
    ],
  ];

  it.each(ENDINGS)('%s: refused', async (_name, end) => {
    const { started, person } = await approved({ scope: 'openid' });
    await end({ person });
    const answer = await poll(started);
    expect(await refusalOf(answer)).toEqual([400, 'invalid_grant']);
    expect(await recordOf(answer)).toEqual([['token.refused', expect.any(String)]]);
  });

  it('offline access outlives the session of the browser, by the policy for all offline grants', async () => {
    const { started, person } = await approved({ scope: 'openid offline_access' });
    const signedOut = await person.submit(
      await person.open(`${server.issuer}/oauth/logout`),
      { logout: 'yes' },
      'logout',
    );
    expect(signedOut.status).toBe(200);
    const tokens = (await (await poll(started)).json()) as Tokens;
    expect((await refresh(server, tv, tokens.refresh_token ?? '')).status).toBe(200);
    await server.subjects.signOut.everywhere(credentials.account, OPERATOR, { offline: true });
  });
});

describe('a person', () => {
  it('may type the code as they like', async () => {
    const { user_code: code } = await startDevice(server, tv);
    const page = await enterCode(
      createPerson(server.issuer),
      server,
      ` ${code.toLowerCase().replace('-', ' ')} `,
    );
    expect(page.html).toContain('Is this the code on your device?');
    expect(page.html).toContain(code);
    expect(page.html).toContain('Living-room TV');
  });

  it('is asked whether it is theirs also where the link brought the code', async () => {
    const started = await startDevice(server, tv);
    const person = createPerson(server.issuer);
    const entry = await person.open(started.verification_uri_complete);
    expect(entry.html).toContain(`value="${started.user_code}"`);
    expect(entry.html).toContain('Check the code.');
    expect(entry.html).not.toMatch(/<script(?![^>]* src=)/);
    expect(entry.headers.get('content-security-policy')).not.toContain('sha256');
    const question = await person.submit(entry, { user_code: started.user_code });
    expect(question.html).toContain('If somebody sent you the code');
    expect(await refusalOf(await poll(started))).toEqual([400, 'authorization_pending']);
  });

  it.each(['<script>', 'AEIO-UAEI', 'B'.repeat(5000), '%00'])(
    'finds no code in a link with %p',
    async (code) => {
      const url = `${server.issuer}/device?user_code=${encodeURIComponent(code)}`;
      const page = await createPerson(server.issuer).open(url);
      expect(page.status).toBe(200);
      expect(page.html).not.toContain('value="B');
      expect(page.html).not.toContain('Check the code.');
    },
  );

  it('sends a code by themselves, also where a link brings two', async () => {
    const { user_code: code } = await startDevice(server, tv);
    const link = `${server.issuer}/device?user_code=${code.slice(0, 4)}&user_code=${code.slice(5)}`;
    const page = await createPerson(server.issuer).open(link);
    expect(page.html).toContain('Enter the code from your device');
    expect(page.html).not.toMatch(/<script(?![^>]* src=)/);
    expect(page.headers.get('content-security-policy')).not.toContain('sha256');
  });

  it('who says no ends it for the device', async () => {
    const started = await startDevice(server, tv);
    const person = createPerson(server.issuer);
    const page = await person.submit(await enterCode(person, server, started.user_code), { abort: 'yes' });
    expect(page.html).toContain('The device was not connected');
    expect(await recordOf(page)).toEqual([['device.declined', expect.stringContaining('access_denied')]]);
    const answer = await poll(started);
    expect(await refusalOf(answer)).toEqual([400, 'access_denied']);
    expect((await enterCode(person, server, started.user_code)).html).toContain(
      'That code was already used.',
    );
  });

  it('who lacks the role that the app requires ends it too', async () => {
    const closed = await registerDevice(server, { requireRole: 'projectionist' });
    const started = await startDevice(server, closed);
    const person = createPerson(server.issuer);
    const page = await approve(person, server, started.user_code, credentials);
    expect(page.html).toContain('You cannot open Living-room TV yet');
    expect((await person.submit(page, {}, '/access')).html).toContain('The device was not connected');
    expect(await refusalOf(await poll(started, closed))).toEqual([400, 'access_denied']);
  });

  it('needs the second factor that the app requires', async () => {
    const strict = await registerDevice(server, { requireMfa: true });
    const started = await startDevice(server, strict);
    const page = await approve(createPerson(server.issuer), server, started.user_code, credentials);
    expect(page.html).toContain('Set up an authenticator app');
    expect(await refusalOf(await poll(started, strict))).toEqual([400, 'authorization_pending']);
  });

  it('who does not consent ends it too', async () => {
    const thirdParty = await registerDevice(server, { firstParty: false, consent: 'once' });
    const started = await startDevice(server, thirdParty);
    const person = createPerson(server.issuer);
    let page = await person.submit(await enterCode(person, server, started.user_code), { confirm: 'yes' });
    const { email: identifier, password } = credentials;
    page = await person.submit(page, { identifier, password }, '/login');
    page = await person.submit(page, { decision: 'deny' }, '/consent');
    expect(page.html).toContain('The device was not connected');
    expect(await refusalOf(await poll(started, thirdParty))).toEqual([400, 'access_denied']);
  });

  it('is told of a code that is none, and of an empty one', async () => {
    const person = createPerson(server.issuer);
    const unknown = await enterCode(person, server, 'BCDF-BCDF');
    expect([unknown.status, unknown.html]).toEqual([422, expect.stringContaining('is not one we know')]);
    expect(await recordOf(unknown)).toEqual([['device.refused', 'the code was not found']]);
    const empty = await enterCode(person, server, '');
    expect([empty.status, empty.html]).toEqual([422, expect.stringContaining('Enter the code.')]);
  });

  it('may begin again in the browser in which they left half way', async () => {
    const started = await startDevice(server, tv);
    const person = createPerson(server.issuer);
    const left = await person.submit(await enterCode(person, server, started.user_code), { confirm: 'yes' });
    expect(left.html).toContain('name="password"');
    const page = await approve(person, server, started.user_code, credentials);
    expect(page.html).toContain('Your device is connected');
    await tokensOf(await poll(started));
    const again = await enterCode(person, server, started.user_code);
    expect(again.html).toContain('That code was already used.');
  });

  it('cannot take a code that another browser has confirmed', async () => {
    const started = await startDevice(server, tv);
    const [owner, late] = [createPerson(server.issuer), createPerson(server.issuer)];
    const question = await enterCode(late, server, started.user_code);
    const mine = await owner.submit(await enterCode(owner, server, started.user_code), { confirm: 'yes' });
    const theirs = await late.submit(question, { confirm: 'yes' });
    expect([theirs.status, theirs.html]).toEqual([422, expect.stringContaining('already used')]);
    const { email: identifier, password } = credentials;
    const done = await owner.submit(mine, { identifier, password }, '/login');
    expect(done.html).toContain('Your device is connected');
    expect((await poll(started)).status).toBe(200);
  });

  it('is not made to approve anything by another site', async () => {
    const started = await startDevice(server, tv);
    const { person } = await approved();
    for (const forged of [{}, { xsrf: 'guessed' }]) {
      const answer = await person.request(`${server.issuer}/device`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', origin: 'https://evil.example' },
        body: new URLSearchParams({ user_code: started.user_code, confirm: 'yes', ...forged }),
      });
      expect([answer.status, await answer.text()]).toEqual([
        400,
        expect.stringContaining('Nothing happened'),
      ]);
      expect((await recordOf(answer))[0]).toEqual(['device.refused', expect.any(String)]);
    }
    expect(await refusalOf(await poll(started))).toEqual([400, 'authorization_pending']);
  });
});

describe('a browser without our cookie', () => {
  it.each([
    ['a form', 'application/x-www-form-urlencoded', 'user_code=BCDF-BCDF&confirm=yes'],
    ['something else', 'application/json', '{}'],
  ])('that sends %s is led to the page that sets it', async (_name, type, body) => {
    const answer = await fetch(`${server.issuer}/device`, {
      method: 'POST',
      headers: { 'content-type': type },
      body,
    });
    expect([answer.status, await answer.text()]).toEqual([
      400,
      expect.stringContaining(`href="${server.issuer}/device"`),
    ]);
    expect((await recordOf(answer))[0]).toEqual(['device.refused', expect.any(String)]);
  });

  it('that comes back from nowhere is told as much', async () => {
    const answer = await fetch(`${server.issuer}/device/somewhere`);
    expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining('once more')]);
  });
});

describe('whoever guesses codes', () => {
  const guess = async (person: Person, times: number): Promise<Visited> => {
    let page = await enterCode(person, server, 'BCDF-BCDF');
    for (let tried = 1; tried < times; tried += 1) {
      page = await person.submit(page, { user_code: 'BCDF-BCDG' }, '/device');
    }
    return page;
  };

  it('has to wait, in that browser, and is told how long; right codes wait as well', async () => {
    const started = await startDevice(server, tv);
    const person = createPerson(server.issuer);
    const page = await guess(person, 6);
    expect(page.status).toBe(429);
    expect(page.html).toMatch(/Try again in \d second/);
    expect(Number(page.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await recordOf(page))[0]).toEqual(['device.refused', 'too_many_user_codes']);
    expect((await person.submit(page, { user_code: started.user_code, confirm: 'yes' })).status).toBe(429);
    const other = await enterCode(createPerson(server.issuer), server, started.user_code);
    expect(other.html).toContain('Is this the code on your device?');
  });

  it('loses nothing by typing what can be no code', async () => {
    const person = createPerson(server.issuer);
    let page = await enterCode(person, server, 'hello');
    for (let tried = 0; tried < 8; tried += 1) page = await person.submit(page, { user_code: 'hello' });
    expect(page.status).toBe(422);
  });

  it('has to wait whatever the browser, where many guesses came from the address', async () => {
    let page: Visited | undefined;
    for (let tried = 0; tried <= FREE_BY_ADDRESS && page?.status !== 429; tried += 1) {
      page = await enterCode(createPerson(server.issuer), server, 'BCDF-BCDF');
    }
    expect(page?.status).toBe(429);
    const { user_code: code } = await startDevice(server, tv);
    expect((await enterCode(createPerson(server.issuer), server, code)).status).toBe(429);
  });
});
