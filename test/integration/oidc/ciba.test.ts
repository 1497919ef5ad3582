import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import * as client from 'openid-client';

import { TOKEN_EXCHANGE } from '../../../src/clients/client.ts';
import type { NewClient } from '../../../src/clients/service.ts';
import { registerApi, registerRole } from '../../support/apis.ts';
import {
  introspect,
  OPERATOR,
  registerApplication,
  registerPerson,
  signedIn,
  tokenRequest,
  type Application,
  type Tokens,
} from '../../support/application.ts';
import { codeAt, keyOn } from '../../support/authenticator.ts';
import { answer, ask, asked, CIBA, errorOf, openApprovals, poll, registerDesk } from '../../support/ciba.ts';
import { createShiftedClock, type ShiftedClock } from '../../support/clock.ts';
import { withinASecond } from '../../support/eventually.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person } from '../../support/person.ts';
import { recordedOf } from '../../support/recorded.ts';

let server: TestServer;
let clock: ShiftedClock;
let desk: Application;
let isStoreAway = false;

beforeAll(async () => {
  clock = createShiftedClock();
  server = await startGatehouse({
    clock,
    decorateStore: (store) => ({
      ...store,
      find: async (model, id) => {
        if (isStoreAway) throw Object.assign(new Error('the store is away'), { code: 'ECONNREFUSED' });
        return store.find(model, id);
      },
    }),
    env: { GATEHOUSE_APPROVALS_WAITING_PER_CLIENT: '2', GATEHOUSE_APPROVALS_HOURLY_PER_CLIENT: '4' },
  });
  desk = await registerDesk(server);
});
afterAll(() => server.stop());

type Who = Awaited<ReturnType<typeof registerPerson>>;

interface Approver {
  who: Who;
  person: Person;
}

async function approver(): Promise<Approver> {
  return { who: await registerPerson(server), person: createPerson(server.issuer) };
}

/** From the request to the answer. @returns the auth_req_id */
async function answered(
  { who, person }: Approver,
  decision: 'approve' | 'deny',
  parameters: Record<string, string> = {},
  application = desk,
): Promise<string> {
  const { auth_req_id: id } = await asked(server, application, { login_hint: who.email, ...parameters });
  await answer(person, await openApprovals(server, person, who), decision);
  return id;
}

async function tokensOf(response: Response): Promise<Tokens> {
  if (response.status !== 200) throw new Error(`refused: ${response.status} ${await response.text()}`);
  return (await response.json()) as Tokens;
}

async function eventsOf(accountId: string): Promise<string[]> {
  const { rows } = await server.database.db.query<{ type: string }>(
    `select type from audit_events where account_id = $1 and type like 'approval%' order by at, id`,
    [accountId],
  );
  return rows.map(({ type }) => type);
}

async function refusalsOf(clientId: string, type: string): Promise<Record<string, unknown>[]> {
  const { rows } = await server.database.db.query<{ payload: Record<string, unknown> }>(
    'select payload from audit_events where client_id = $1 and type = $2 order by at, id',
    [clientId, type],
  );
  return rows.map(({ payload }) => payload);
}

describe('asking a person without their browser', () => {
  it('gives a client that we did not write its tokens once the person has approved', async () => {
    const { who, person } = await approver();
    const config = await client.discovery(
      new URL(server.issuer),
      desk.clientId,
      undefined,
      client.ClientSecretBasic(desk.secret),
      { execute: [client.allowInsecureRequests] },
    );
    const started = await client.initiateBackchannelAuthentication(config, {
      scope: 'openid email offline_access',
      login_hint: who.email.toUpperCase(),
      binding_message: 'Order 4711, CHF 250',
    });
    expect(started).toMatchObject({ expires_in: 600, interval: 5 });

    const page = await openApprovals(server, person, who);
    expect(page.html).toContain('Service desk');
    expect(page.html).toContain('Order 4711, CHF 250');
    expect(page.html).toContain(who.email);
    const after = await answer(person, page, 'approve');
    expect(after.html).toContain('Approved.');
    expect(after.html).toContain('Nothing waits for you');

    const tokens = await client.pollBackchannelAuthenticationGrant(config, { ...started, interval: 1 });
    expect(tokens.claims()).toMatchObject({ sub: who.account.sub, acr: 'aal1', amr: ['pwd'] });
    expect(tokens.scope).toBe('openid email offline_access');
    const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token ?? '');
    expect(refreshed.access_token).toEqual(expect.any(String));
    expect(await eventsOf(who.account.id)).toEqual(['approval.requested', 'approval.approved']);
  });

  it('is announced truthfully', async () => {
    const metadata = (await (
      await fetch(`${server.issuer}/.well-known/openid-configuration`)
    ).json()) as Record<string, unknown>;
    expect(metadata).toMatchObject({
      backchannel_authentication_endpoint: `${server.issuer}/oauth/backchannel`,
      backchannel_token_delivery_modes_supported: ['poll', 'ping'],
      backchannel_user_code_parameter_supported: false,
      grant_types_supported: expect.arrayContaining([CIBA]),
    });
    expect(metadata).not.toHaveProperty('backchannel_authentication_request_signing_alg_values_supported');
  });

  it('takes a user name, or an ID token of before, for a hint', async () => {
    const application = await registerApplication(server, {
      grantTypes: ['authorization_code', 'refresh_token', CIBA],
    });
    const { credentials, person, tokens } = await signedIn(server, {}, 'openid');
    const { tokens: own, ...known } = await signedIn(server, {
      grantTypes: ['authorization_code', 'refresh_token', CIBA],
    });
    const foreign = await ask(server, known.application, { id_token_hint: tokens.id_token ?? '' });
    expect([foreign.status, await errorOf(foreign)]).toEqual([400, 'invalid_request']);
    const { auth_req_id: id } = await asked(server, known.application, {
      id_token_hint: own.id_token ?? '',
    });
    await answer(known.person, await openApprovals(server, known.person), 'approve');
    const fetched = await tokensOf(await poll(server, known.application, id));
    expect(decodeJwt(fetched.id_token ?? '').sub).toBe(known.credentials.account.sub);
    // Whoever is asked by e-mail is another person than the one who is signed in here.
    await asked(server, application, { login_hint: credentials.email });
    expect((await openApprovals(server, known.person)).html).toContain('Nothing waits for you');
    expect((await openApprovals(server, person)).html).toContain('Application');
  });

  it('gives no refresh token without offline_access, for no session would end it', async () => {
    const id = await answered(await approver(), 'approve', { scope: 'openid email' });
    const tokens = await tokensOf(await poll(server, desk, id));
    expect(tokens).not.toHaveProperty('refresh_token');
    expect(tokens.scope).toBe('openid email');
  });

  it('gives permissions at an API as far as the person has them', async () => {
    const api = await registerApi(server);
    const role = await registerRole(server, api, ['read']);
    const { who, person } = await approver();
    await server.subjects.rbac.grantRole(who.account.id, role, OPERATOR);
    const { auth_req_id: id } = await asked(server, desk, {
      login_hint: who.email,
      scope: 'openid read write',
      resource: api.identifier,
    });
    const page = await openApprovals(server, person, who);
    expect(page.html).toContain('See your invoices');
    expect(page.html).not.toContain('Change your invoices');
    await answer(person, page, 'approve');
    const { access_token: token } = await tokensOf(
      await poll(server, desk, id, { resource: api.identifier }),
    );
    expect(decodeJwt(token)).toMatchObject({ scope: 'read', acr: 'aal1', aud: api.identifier });
  });

  it('gives an ID token that a client may exchange, where it may exchange any', async () => {
    const api = await registerApi(server);
    const teller = await registerDesk(server, {
      grantTypes: [CIBA, 'refresh_token', TOKEN_EXCHANGE],
      tokenExchangeAudiences: [api.identifier],
      tokenExchangeModes: ['impersonation'],
    });
    await server.subjects.apis.permitClient(
      { clientId: teller.clientId, api: api.identifier, permissions: ['read'] },
      OPERATOR,
    );
    const asking = await approver();
    await server.subjects.rbac.grantRole(
      asking.who.account.id,
      await registerRole(server, api, ['read']),
      OPERATOR,
    );
    const id = await answered(asking, 'approve', {}, teller);
    const { id_token: idToken = '' } = await tokensOf(await poll(server, teller, id));
    const exchange = (): Promise<Response> =>
      tokenRequest(server, teller, {
        grant_type: TOKEN_EXCHANGE,
        subject_token: idToken,
        subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
        audience: api.identifier,
      });
    expect(await tokensOf(await exchange())).toMatchObject({ scope: 'read' });
    await server.subjects.signOut.everywhere(asking.who.account, OPERATOR);
    // Else PostgreSQL may be the first to refuse, in other words.
    await server.subjects.revocations.refresh();
    expect(await errorOf(await exchange())).toBe('invalid_request');
  });

  it('tells on the first page that a request waits', async () => {
    const { who, person } = await approver();
    await openApprovals(server, person, who);
    expect((await person.open(`${server.issuer}/`)).html).toContain('There is nothing to do here');
    await asked(server, desk, { login_hint: who.email });
    expect((await person.open(`${server.issuer}/`)).html).toContain('A request waits for you');
    expect((await createPerson(server.issuer).open(`${server.issuer}/`)).html).not.toContain('waits');
  });
});

describe('a request that is refused', () => {
  it.each<[string, Record<string, string>, number, string]>([
    ['without a hint', {}, 400, 'invalid_request'],
    ['with two hints', { login_hint: 'ada', id_token_hint: 'x' }, 400, 'invalid_request'],
    ['with a hint that names nobody', { login_hint: 'nobody@example.test' }, 400, 'unknown_user_id'],
    ['with a hint that is no ID token', { id_token_hint: 'x' }, 400, 'invalid_request'],
    ['with a token for a hint', { login_hint_token: 'x' }, 400, 'invalid_request'],
    ['without openid', { login_hint: 'ada', scope: 'email' }, 400, 'invalid_request'],
    ['with a message of many lines', { binding_message: 'a\nb' }, 400, 'invalid_binding_message'],
    ['with a message that turns round', { binding_message: 'a\u202eb' }, 400, 'invalid_binding_message'],
    ['with a message of markup', { binding_message: '<b>now</b>' }, 400, 'invalid_binding_message'],
    ['with a long message', { binding_message: 'a'.repeat(65) }, 400, 'invalid_binding_message'],
    ['with a life of nothing', { requested_expiry: '0' }, 400, 'invalid_request'],
    ['with single claims', { claims: '{"id_token":{"email":null}}' }, 400, 'invalid_request'],
    ['for an unknown API', { resource: 'https://nowhere.example' }, 400, 'invalid_target'],
  ])('%s', async (_, parameters, status, error) => {
    const application = await registerDesk(server);
    const { email } = await registerPerson(server);
    const isAboutHints = Object.keys(parameters).some((name) => name.includes('hint'));
    const hint: Record<string, string> =
      isAboutHints || Object.keys(parameters).length === 0 ? {} : { login_hint: email };
    const response = await ask(server, application, { ...hint, ...parameters });
    expect([response.status, await errorOf(response)]).toEqual([status, error]);
    expect(await refusalsOf(application.clientId, 'approval.request_refused')).toEqual([
      expect.objectContaining({ error }),
    ]);
  });

  it('comes from a client that may not ask', async () => {
    const { email } = await registerPerson(server);
    const application = await registerApplication(server);
    const response = await ask(server, application, { login_hint: email });
    expect([response.status, await errorOf(response)]).toEqual([400, 'unauthorized_client']);
    const stranger = await ask(server, { ...desk, secret: 'wrong' }, { login_hint: email });
    expect(stranger.status).toBe(401);
  });

  it('names an account that is disabled: as if there were none', async () => {
    const { account, email } = await registerPerson(server);
    await server.subjects.accounts.disable(account.id, OPERATOR);
    const response = await ask(server, desk, { login_hint: email });
    expect([response.status, await errorOf(response)]).toEqual([400, 'unknown_user_id']);
  });

  it('is one too many for the person, at a time and within the hour', async () => {
    const application = await registerDesk(server);
    const { who, person } = await approver();
    const request = { login_hint: who.email };
    await asked(server, application, request);
    await asked(server, application, request);
    const third = await ask(server, application, request);
    expect([third.status, await errorOf(third)]).toEqual([403, 'access_denied']);
    await asked(server, desk, request);
    for (let i = 0; i < 3; i += 1) {
      await answer(person, await openApprovals(server, person, who), 'deny');
    }
    await asked(server, application, request);
    await asked(server, application, request);
    await answer(person, await openApprovals(server, person), 'deny');
    await answer(person, await openApprovals(server, person), 'deny');
    const fifth = await ask(server, application, request);
    expect([fifth.status, await errorOf(fifth)]).toEqual([403, 'access_denied']);
    expect(await refusalsOf(application.clientId, 'approval.request_refused')).toHaveLength(2);
  });
});

describe('hints that name nobody', () => {
  it('are slowed down for the client that sends them, and for no other', async () => {
    const few = await startGatehouse({
      sharing: server,
      clock,
      env: { GATEHOUSE_ISSUER: server.issuer, GATEHOUSE_THROTTLE_ADDRESS_FREE_FAILURES: '2' },
    });
    const [guessing, honest] = [await registerDesk(few), await registerDesk(few)];
    const { email } = await registerPerson(few);
    const at = { issuer: `http://localhost:${few.address.port}` };
    const guess = async (): Promise<number> =>
      (await ask(at, guessing, { login_hint: 'nobody@example.test' })).status;
    await asked(at, guessing, { login_hint: email });
    expect([await guess(), await guess(), await guess(), await guess()]).toEqual([400, 400, 403, 403]);
    const late = await ask(at, guessing, { login_hint: email });
    expect([late.status, late.headers.get('retry-after')]).toEqual([403, expect.stringMatching(/^\d+$/)]);
    await asked(at, honest, { login_hint: email });
    await few.stopAlone();
  });
});

describe('asking for the answer', () => {
  it('is told to wait, then to slow down, and the interval grows', async () => {
    const { who } = await approver();
    const { auth_req_id: id } = await asked(server, desk, { login_hint: who.email });
    const next = async () => errorOf(await poll(server, desk, id));
    expect(await next()).toBe('authorization_pending');
    expect(await next()).toBe('slow_down');
    clock.advanceSeconds(6);
    expect(await next()).toBe('slow_down');
    clock.advanceSeconds(16);
    expect(await next()).toBe('authorization_pending');
  });

  it('is refused once the person has declined', async () => {
    const asking = await approver();
    const id = await answered(asking, 'deny');
    expect(await errorOf(await poll(server, desk, id))).toBe('access_denied');
    expect(await errorOf(await poll(server, desk, id))).toBe('invalid_grant');
    expect(await eventsOf(asking.who.account.id)).toEqual(['approval.requested', 'approval.denied']);
  });

  it('is refused to every client but the one that asked, and costs that one nothing', async () => {
    const id = await answered(await approver(), 'approve');
    const other = await registerDesk(server);
    expect(await errorOf(await poll(server, other, id))).toBe('invalid_grant');
    expect(await errorOf(await poll(server, desk, 'br_never-there'))).toBe('invalid_grant');
    await tokensOf(await poll(server, desk, id));
  });

  it('succeeds once: the second time ends what the first one gave', async () => {
    const id = await answered(await approver(), 'approve', { scope: 'openid offline_access' });
    const tokens = await tokensOf(await poll(server, desk, id));
    expect((await introspect(server, desk, tokens.access_token)).active).toBe(true);
    expect(await errorOf(await poll(server, desk, id))).toBe('invalid_grant');
    expect((await introspect(server, desk, tokens.access_token)).active).toBe(false);
    expect((await introspect(server, desk, tokens.refresh_token ?? '')).active).toBe(false);
  });

  it.each<[string, boolean]>([
    ['nobody answered', false],
    ['the answer was not fetched', true],
  ])('is told that the request has expired: %s in time', async (_, isAnswered) => {
    const { who, person } = await approver();
    const { auth_req_id: id, expires_in: life } = await asked(server, desk, {
      login_hint: who.email,
      requested_expiry: '60',
    });
    expect(life).toBe(60);
    const page = await openApprovals(server, person, who);
    if (isAnswered) await answer(person, page, 'approve');
    clock.advanceSeconds(61);
    if (!isAnswered) expect((await answer(person, page, 'approve')).html).toContain('That request is over.');
    expect(await errorOf(await poll(server, desk, id))).toBe('expired_token');
  });
});

describe('between the approval and the tokens', () => {
  it.each<[string, (approved: Approver) => Promise<unknown>]>([
    ['the account is disabled', ({ who }) => server.subjects.accounts.disable(who.account.id, OPERATOR)],
    [
      'the person signs out where they approved',
      async ({ person }) =>
        person.submit(await person.open(`${server.issuer}/oauth/logout`), { logout: 'yes' }, 'logout'),
    ],
    [
      'the password is set anew',
      ({ who }) =>
        server.subjects.accounts.setPassword(who.account.id, 'other quiet lanterns drift', OPERATOR),
    ],
    ['the client is deleted', () => server.subjects.clients.delete(desk.clientId, OPERATOR)],
  ])('%s, and nothing is given', async (what, end) => {
    const mine = desk;
    const asking = await approver();
    const id = await answered(asking, 'approve');
    await end(asking);
    const response = await poll(server, mine, id);
    expect(response.status).toBe(what.includes('client') ? 401 : 400);
    expect(await errorOf(response)).toBe(what.includes('client') ? 'invalid_client' : 'invalid_grant');
    if (what.includes('client')) desk = await registerDesk(server);
  });

  it('a sign-out after the tokens were fetched leaves them', async () => {
    const asking = await approver();
    const id = await answered(asking, 'approve');
    const tokens = await tokensOf(await poll(server, desk, id));
    const page = await asking.person.open(`${server.issuer}/oauth/logout`);
    await asking.person.submit(page, { logout: 'yes' }, 'logout');
    expect((await introspect(server, desk, tokens.access_token)).active).toBe(true);
  });
});

describe('signing a person out', () => {
  it.each<[string, (who: Who, application: Application) => Promise<unknown>]>([
    ['everywhere', ({ account }) => server.subjects.signOut.everywhere(account, OPERATOR)],
    [
      'of the application',
      ({ account }, { clientId }) => server.subjects.signOut.application(account, clientId, OPERATOR),
    ],
  ])('%s ends what they had approved', async (_, signOut) => {
    const asking = await approver();
    const id = await answered(asking, 'approve');
    const tokens = await tokensOf(await poll(server, desk, id));
    expect((await introspect(server, desk, tokens.access_token)).active).toBe(true);
    await signOut(asking.who, desk);
    await withinASecond(async () =>
      expect((await introspect(server, desk, tokens.access_token)).active).toBe(false),
    );
  });
});

describe('who may approve', () => {
  it('nobody else sees the request, or can answer it', async () => {
    const { who, person } = await approver();
    const { auth_req_id: id } = await asked(server, desk, { login_hint: who.email });
    const page = await openApprovals(server, person, who);
    const other = await approver();
    expect((await openApprovals(server, other.person, other.who)).html).toContain('Nothing waits for you');
    const stolen = await answer(other.person, page, 'approve');
    expect(stolen.html).toContain('That request is over.');
    expect(await eventsOf(other.who.account.id)).toEqual(['approval.refused']);
    expect(await errorOf(await poll(server, desk, id))).toBe('authorization_pending');
  });

  it('a form from another site is refused', async () => {
    const { who, person } = await approver();
    await asked(server, desk, { login_hint: who.email });
    const page = await openApprovals(server, person, who);
    const action = /action="([^"]*account\/approvals\/[^"]*)"/.exec(page.html)?.[1] ?? '';
    for (const headers of [{ origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }]) {
      const response = await person.request(action, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
        body: 'decision=approve',
      });
      expect(response.status).toBe(403);
      expect(await recordedOf(server, response)).toMatchObject([
        { type: 'request.refused', payload: { error: 'cross_site_request' } },
      ]);
    }
    expect(await eventsOf(who.account.id)).toEqual(['approval.requested']);
  });

  it.each<['approve' | 'deny', 'approve' | 'deny', string]>([
    ['approve', 'deny', 'approval.approved'],
    ['deny', 'approve', 'approval.denied'],
  ])('a page that still stands open after "%s" changes nothing by "%s"', async (first, second, event) => {
    const { who, person } = await approver();
    const { auth_req_id: id } = await asked(server, desk, { login_hint: who.email });
    const page = await openApprovals(server, person, who);
    await answer(person, page, first);
    const late = await answer(person, page, second);
    expect(late.html).toContain('That request is over.');
    expect(await eventsOf(who.account.id)).toEqual(['approval.requested', event, 'approval.refused']);
    const answered = await poll(server, desk, id);
    expect(answered.status).toBe(first === 'approve' ? 200 : 400);
  });

  it('a page that still stands open when the request has ended approves nothing', async () => {
    const { who, person } = await approver();
    const { auth_req_id: id } = await asked(server, desk, { login_hint: who.email, requested_expiry: '30' });
    const page = await openApprovals(server, person, who);
    clock.advanceSeconds(31);
    expect((await answer(person, page, 'approve')).html).toContain('That request is over.');
    expect(await eventsOf(who.account.id)).toEqual(['approval.requested', 'approval.refused']);
    expect(await errorOf(await poll(server, desk, id))).toBe('expired_token');
  });

  it('whoever is signed out has to sign in first, and a form that comes late does nothing', async () => {
    const { who, person } = await approver();
    await asked(server, desk, { login_hint: who.email });
    const page = await openApprovals(server, person, who);
    person.cookies.clear();
    const late = await answer(person, page, 'approve');
    expect(late.html).toContain('name="password"');
    expect(await eventsOf(who.account.id)).toEqual(['approval.requested']);
  });

  it('with the password alone nobody sees or declines what waits for a person with a second factor', async () => {
    const { who, person } = await approver();
    await asked(server, desk, { login_hint: who.email, binding_message: 'order 4711' });
    const { factors } = server.subjects;
    const { secret } = await factors.beginTotpEnrolment(who.account.id);
    const code = codeAt(secret, clock.now().getTime() - Date.now());
    expect(await factors.confirmTotp({ accountId: who.account.id, code })).toMatchObject({ kind: 'ok' });

    const halfWay = await openApprovals(server, person, who);
    expect(halfWay.html).toContain('name="code"');
    const again = await openApprovals(server, person);
    expect(again.html).toContain('name="code"');
    expect(again.html).not.toContain('order 4711');
    const { rows } = await server.database.db.query<{ id: string }>(
      'select id from approval_requests where account_id = $1',
      [who.account.id],
    );
    await person.request(`${server.issuer}/account/approvals/${rows[0]?.id}`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: server.issuer },
      body: 'decision=deny',
    });
    expect((await person.open(server.issuer)).html).not.toContain(who.email);
    expect(await eventsOf(who.account.id)).toEqual(['approval.requested']);
  });

  it.each<[string, Partial<NewClient>, Record<string, string>]>([
    ['the client requires it', { requireMfa: true }, {}],
    ['the request asks for it', {}, { acr_values: 'aal2' }],
  ])('a second factor comes first where %s', async (_, input, parameters) => {
    const application = await registerDesk(server, input);
    const { who, person } = await approver();
    const { auth_req_id: id } = await asked(server, application, { login_hint: who.email, ...parameters });
    const page = await openApprovals(server, person, who);
    expect(page.html).toContain('Confirm that it is you');
    const enrolment = await answer(person, page, 'approve');
    const codes = await person.submit(
      enrolment,
      { code: codeAt(keyOn(enrolment.html), clock.now().getTime() - Date.now()) },
      '/enrol',
    );
    const again = await person.submit(codes, {}, '/recovery-codes');
    expect(again.html).not.toContain('Confirm that it is you');
    expect(await errorOf(await poll(server, application, id))).toBe('authorization_pending');
    await answer(person, again, 'approve');
    const tokens = await tokensOf(await poll(server, application, id));
    expect(decodeJwt(tokens.id_token ?? '')).toMatchObject({ acr: 'aal2', amr: ['pwd', 'otp', 'mfa'] });
    expect(await eventsOf(who.account.id)).toEqual([
      'approval.requested',
      'approval.refused',
      'approval.approved',
    ]);
  });

  it('a sign-in that is too old for the client is made anew', async () => {
    const application = await registerDesk(server, { defaultMaxAge: 300 });
    const { who, person } = await approver();
    await openApprovals(server, person, who);
    clock.advanceSeconds(301);
    const { auth_req_id: id } = await asked(server, application, { login_hint: who.email });
    const page = await openApprovals(server, person);
    expect(page.html).toContain('Confirm that it is you');
    const login = await answer(person, page, 'approve');
    const again = await person.submit(login, { identifier: who.email, password: who.password }, '/login');
    expect(again.html).not.toContain('Confirm that it is you');
    await answer(person, again, 'approve');
    await tokensOf(await poll(server, application, id));
  });

  it('a role that the client requires', async () => {
    const { name } = await server.subjects.rbac.createRole({ name: 'desk-users' }, OPERATOR);
    const application = await registerDesk(server, { requireRole: name });
    const { who, person } = await approver();
    const { auth_req_id: id } = await asked(server, application, { login_hint: who.email });
    const page = await openApprovals(server, person, who);
    expect(page.html).toContain('You cannot approve it');
    const forced = await answer(person, page, 'approve');
    expect(forced.html).toContain('Not approved.');
    expect(await errorOf(await poll(server, application, id))).toBe('authorization_pending');
    await server.subjects.rbac.grantRole(who.account.id, name, OPERATOR);
    await answer(person, await openApprovals(server, person), 'approve');
    await tokensOf(await poll(server, application, id));
  });
});

describe('the account door', () => {
  it('asks for patience while sessions cannot be read; the first page goes without them', async () => {
    const { who, person } = await approver();
    const { auth_req_id: id } = await asked(server, desk, { login_hint: who.email });
    await openApprovals(server, person, who);
    isStoreAway = true;
    try {
      expect((await person.request('/account/approvals')).status).toBe(503);
      expect((await person.request('/')).status).toBe(200);
      const response = await poll(server, desk, id);
      expect([response.status, await errorOf(response)]).toEqual([503, 'temporarily_unavailable']);
    } finally {
      isStoreAway = false;
    }
    await answer(person, await openApprovals(server, person), 'approve');
    await tokensOf(await poll(server, desk, id));
  });

  it('leads back from a sign-in that its own browser has started, and from no other', async () => {
    const person = createPerson(server.issuer);
    for (const query of ['', '?code=x&state=made-up', '?error=access_denied&state=made-up']) {
      const visited = await person.open(`${server.issuer}/account/callback${query}`);
      expect([visited.status, visited.isAway]).toEqual([400, false]);
      expect(visited.html).toContain('href="/account"');
    }
  });

  it('tells who does not sign in that the account stays closed', async () => {
    const person = createPerson(server.issuer);
    const start = await person.request('/account/approvals');
    const state = new URL(start.headers.get('location') ?? '').searchParams.get('state') ?? '';
    const query = new URLSearchParams({ error: 'access_denied', state });
    const visited = await person.open(`${server.issuer}/account/callback?${query.toString()}`);
    expect(visited.status).toBe(403);
    expect(visited.html).toContain('So your account stays closed.');
    expect(visited.html).toContain('href="/account"');
  });

  it('has a client of its own that nobody can register, or redeem the codes of', async () => {
    await expect(
      server.subjects.clients.create(
        { clientId: 'gatehouse-account', name: 'Mine', redirectUris: ['https://evil.example/cb'] },
        OPERATOR,
      ),
    ).rejects.toMatchObject({ code: 'invalid_client' });
    const own = { clientId: 'gatehouse-account', secret: 'guessed', redirectUri: '' };
    const response = await poll(server, own, 'br_x');
    expect(response.status).toBe(401);
  });
});
