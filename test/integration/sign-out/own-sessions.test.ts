/** People sign out of an application, a browser, or everything, on the page of their account. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  authorizationRequest,
  authorize,
  codeOf,
  introspect,
  OPERATOR,
  redeem,
  refresh,
  registerApplication,
  registerPerson,
  signedIn,
  type Application,
  type Tokens,
} from '../../support/application.ts';
import { runCli } from '../../support/cli.ts';
import { withinASecond } from '../../support/eventually.ts';
import { startGatehouse, type StoreKind, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person, type Visited } from '../../support/person.ts';
import { recordedOf } from '../../support/recorded.ts';

type Who = Awaited<ReturnType<typeof registerPerson>>;

describe.each<StoreKind>(['postgres', 'redis'])('where a person is signed in (%s)', (store) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startGatehouse({ store });
  });
  afterAll(() => server.stop());

  const page = (person: Person): Promise<Visited> => person.open(`${server.issuer}/account/sessions`);
  const sectionsOf = ({ html }: Visited): string[] =>
    [...html.matchAll(/<h2[^>]*>([^<]*)<\/h2>/g)].map(([, title]) => title ?? '');

  async function signInTo(application: Application, person: Person, who: Who): Promise<Tokens> {
    const request = authorizationRequest(server, application, { scope: 'openid' });
    const code = codeOf(await authorize(person, request, who));
    return (await (await redeem(server, application, { code, verifier: request.verifier })).json()) as Tokens;
  }

  /** One person in two browsers, at two applications. */
  async function twoBrowsers() {
    const here = await signedIn(server, { name: 'Ledger' }, 'openid');
    const { application: ledger, credentials: who } = here;
    const atlas = await registerApplication(server, { name: 'Atlas' });
    const elsewhere = createPerson(server.issuer);
    return {
      who,
      ledger,
      atlas,
      here: { person: here.person, ledger: here.tokens },
      elsewhere: {
        person: elsewhere,
        ledger: await signInTo(ledger, elsewhere, who),
        atlas: await signInTo(atlas, elsewhere, who),
      },
    };
  }

  /** The access tokens within a second; a refresh is refused at once. */
  const end = async (...ended: [Application, Tokens][]): Promise<void> => {
    await Promise.all(
      ended.map(([application, { access_token: token }]) =>
        withinASecond(async () => {
          expect(await introspect(server, application, token)).toEqual({ active: false });
        }),
      ),
    );
    for (const [application, { refresh_token: token = '' }] of ended)
      expect((await refresh(server, application, token)).status).toBe(400);
  };
  const stands = async (application: Application, { access_token: token }: Tokens): Promise<void> =>
    expect(await introspect(server, application, token)).toMatchObject({ active: true });

  it('is shown by browser, with the apps, this one first', async () => {
    const { here, elsewhere } = await twoBrowsers();
    const shown = await page(here.person);
    expect(shown.status).toBe(200);
    expect(sectionsOf(shown)).toEqual(['This browser', 'Another browser', 'Apps', 'Everywhere']);
    expect(shown.html).toMatch(/Atlas, Ledger|Ledger, Atlas/);
    expect(shown.html).not.toContain('gatehouse-account');
    expect(sectionsOf(await page(elsewhere.person))).toEqual(sectionsOf(shown));
  });

  it('another browser is signed out from here, and this one stays', async () => {
    const { ledger, atlas, here, elsewhere, who } = await twoBrowsers();
    const shown = await page(here.person);
    const session = /name="session" value="([^"]+)"/.exec(shown.html)?.[1] ?? '';
    const after = await here.person.submit(shown, { session }, '/account/sessions');
    expect(after.html).toContain('Signed out.');
    expect(sectionsOf(after)).toEqual(['This browser', 'Apps', 'Everywhere']);
    await end([ledger, elsewhere.ledger], [atlas, elsewhere.atlas]);
    await stands(ledger, here.ledger);
    const visited = await elsewhere.person.open(authorizationRequest(server, atlas).url);
    expect(visited.html).toContain('name="password"');
    const { rows } = await server.database.db.query(
      `select actor_kind, actor_id from audit_events where type = 'session.ended' and account_id = $1`,
      [who.account.id],
    );
    expect(rows).toEqual([{ actor_kind: 'account', actor_id: who.account.id }]);
  });

  it('an app is left in every browser, and the sessions stay', async () => {
    const { ledger, atlas, here, elsewhere } = await twoBrowsers();
    const shown = await page(here.person);
    const after = await here.person.submit(shown, { app: ledger.clientId }, '/account/sessions');
    expect(after.html).not.toContain('Sign out of Ledger');
    expect(after.html).toContain('Sign out of Atlas');
    await end([ledger, here.ledger], [ledger, elsewhere.ledger]);
    await stands(atlas, elsewhere.atlas);
    const back = await here.person.open(authorizationRequest(server, ledger, { scope: 'openid' }).url);
    expect(codeOf(back)).toEqual(expect.any(String));
  });

  it('another browser whose every app was left is still shown, and can be signed out', async () => {
    const { ledger, atlas, here, elsewhere, who } = await twoBrowsers();
    let shown = await page(here.person);
    for (const { clientId } of [ledger, atlas])
      shown = await here.person.submit(shown, { app: clientId }, '/account/sessions');
    expect(sectionsOf(shown)).toEqual(['This browser', 'Another browser', 'Everywhere']);
    const { stdout } = await runCli(['users', 'sessions', who.email, '--json'], { env: server.env });
    const listed = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const left = listed.filter((one) => one['client_id'] !== 'gatehouse-account').map((one) => one['left']);
    expect(left).toEqual([true, true, true]);

    const session = /name="session" value="([^"]+)"/.exec(shown.html)?.[1] ?? '';
    const after = await here.person.submit(shown, { session }, '/account/sessions');
    expect(sectionsOf(after)).toEqual(['This browser', 'Everywhere']);
    const visited = await elsewhere.person.open(authorizationRequest(server, atlas).url);
    expect(visited.html).toContain('name="password"');
    const { rows } = await server.database.db.query(
      `select payload -> 'applications' as told from audit_events where type = 'session.ended' and account_id = $1`,
      [who.account.id],
    );
    // What was left is not told twice.
    expect(rows).toEqual([{ told: [] }]);
  });

  it('an app from which access was withdrawn is left, and the sessions stay', async () => {
    const here = await signedIn(server, { name: 'Ledger' }, 'openid offline_access');
    const { application: ledger, credentials: who, person } = here;
    await signInTo(ledger, createPerson(server.issuer), who);
    const shown = await page(person);
    expect(shown.html).toContain('Sign out of Ledger');
    await server.subjects.consents.withdraw(who.account, ledger.clientId, OPERATOR);
    const after = await page(person);
    expect(after.html).not.toContain('Ledger');
    expect(sectionsOf(after)).toEqual(['This browser', 'Another browser', 'Everywhere']);
    const pressed = await person.submit(shown, { app: ledger.clientId }, '/account/sessions');
    expect(pressed.status).toBe(404);

    await server.subjects.revocations.refresh();
    await signInTo(ledger, person, who);
    expect((await page(person)).html).toContain('Sign out of Ledger');
  });

  it('everything ends at once, this browser too', async () => {
    const { ledger, atlas, here, elsewhere, who } = await twoBrowsers();
    const shown = await page(here.person);
    const after = await here.person.submit(shown, { everywhere: 'yes' }, '/account/sessions');
    expect([after.status, after.html.includes('in every browser')]).toEqual([200, true]);
    await end([ledger, here.ledger], [ledger, elsewhere.ledger], [atlas, elsewhere.atlas]);
    for (const { person } of [here, elsewhere]) {
      expect((await page(person)).html).toContain('name="password"');
    }
    const listed = await runCli(['users', 'sessions', who.email], { env: server.env });
    expect(listed.stdout).toContain('Signed in nowhere');
  }, 60_000);

  it("nobody ends what is another person's, and the refusal is recorded", async () => {
    const [mine, theirs] = [await twoBrowsers(), await twoBrowsers()];
    const shown = await page(theirs.here.person);
    const session = /name="session" value="([^"]+)"/.exec(shown.html)?.[1] ?? '';
    await page(mine.here.person);
    for (const [body, status] of [
      [{ session }, 404],
      [{ session: '' }, 404],
      [{ app: (await registerApplication(server)).clientId }, 404],
      [{ everywhere: 'no' }, 400],
      [{ session, everywhere: 'yes' }, 400],
      [{}, 400],
    ] as [Record<string, string>, number][]) {
      const response = await mine.here.person.request(`${server.issuer}/account/sessions`, {
        method: 'POST',
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          origin: new URL(server.issuer).origin,
        },
        body: new URLSearchParams(body),
      });
      expect([body, response.status]).toEqual([body, status]);
      expect(await recordedOf(server, response)).toMatchObject([{ type: 'request.refused' }]);
    }
    await stands(theirs.ledger, theirs.elsewhere.ledger);
    await stands(mine.ledger, mine.elsewhere.ledger);
  });

  it('another site cannot press the buttons, and nobody is let in without signing in', async () => {
    const { ledger, here } = await twoBrowsers();
    await page(here.person);
    const forged = await here.person.request(`${server.issuer}/account/sessions`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: 'https://evil.example' },
      body: 'everywhere=yes',
    });
    expect(forged.status).toBe(403);
    await stands(ledger, here.ledger);
    const stranger = createPerson(server.issuer);
    const asked = await page(stranger);
    expect(asked.html).toContain('name="password"');
    // And back to the page that was asked for.
    const { email, password } = await registerPerson(server);
    const after = await stranger.submit(asked, { identifier: email, password }, '/login');
    expect(sectionsOf(after)).toEqual(['This browser', 'Everywhere']);
  });

  it('an operator lists the sessions, and ends one by its name', async () => {
    const { ledger, here, elsewhere, who } = await twoBrowsers();
    const listed = await runCli(['users', 'sessions', who.email, '--json'], { env: server.env });
    const lines = listed.lines<{ session: string; client_id: string }>();
    expect(new Set(lines.map(({ session }) => session)).size).toBe(2);
    const session = lines.find(({ client_id: id }) => id !== ledger.clientId)?.session ?? '';
    const { code } = await runCli(['users', 'sign-out', who.email, '--session', session], {
      env: server.env,
    });
    expect(code).toBe(0);
    await end([ledger, elsewhere.ledger]);
    await stands(ledger, here.ledger);
  }, 60_000);
});
