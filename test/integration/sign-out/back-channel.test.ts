import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';

import type { NewClient } from '../../../src/clients/service.ts';
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
import { createShiftedClock, type ShiftedClock } from '../../support/clock.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { startLogoutReceiver, type LogoutReceiver } from '../../support/logout-receiver.ts';
import { createPerson, type Person } from '../../support/person.ts';
import { eventually, withinASecond } from '../../support/eventually.ts';

let server: TestServer;
let clock: ShiftedClock;
let receiver: LogoutReceiver;

beforeAll(async () => {
  clock = createShiftedClock();
  server = await startGatehouse({ clock, env: { GATEHOUSE_OUTGOING_ALLOWED_HOSTS: '127.0.0.1' } });
});
afterAll(() => server.stop());
beforeEach(async () => {
  receiver = await startLogoutReceiver();
});
afterEach(() => receiver.close());

function told(overrides: Partial<NewClient> = {}): Partial<NewClient> {
  return { backchannelLogoutUri: `${receiver.origin}/backchannel`, ...overrides };
}

/** Through the provider's own page. */
async function signOut(person: Person, application: Application, { isWhole = true } = {}): Promise<void> {
  const url = new URL(`${server.issuer}/oauth/logout`);
  url.searchParams.set('client_id', application.clientId);
  const page = await person.open(url.href);
  const after = await person.submit(page, isWhole ? { logout: 'yes' } : {}, 'logout');
  expect(after.status).toBe(200);
}

async function eventsOf(clientId: string, type: string): Promise<Record<string, unknown>[]> {
  const { rows } = await server.database.db.query<{ payload: Record<string, unknown> }>(
    'select payload from audit_events where client_id = $1 and type = $2 order by at, id',
    [clientId, type],
  );
  return rows.map(({ payload }) => payload);
}

async function waiting(): Promise<number> {
  const { rows } = await server.database.db.query<{ count: number }>(
    'select count(*)::int as count from logout_notices',
  );
  return rows[0]!.count;
}

const verify = (token: string, audience: string) =>
  jwtVerify(token, createRemoteJWKSet(new URL(`${server.issuer}/oauth/jwks`)), {
    issuer: server.issuer,
    audience,
    typ: 'logout+jwt',
  });

describe('a sign-out in the browser', () => {
  it.each(['RS256', 'ES256', 'EdDSA'] as const)(
    'reaches the application once, as a token signed by %s that names person and session',
    async (idTokenAlg) => {
      const { application, credentials, person, tokens } = await signedIn(server, told({ idTokenAlg }));
      const { sid, sub } = decodeJwt(tokens.id_token ?? '');
      expect(sid).toEqual(expect.any(String));
      await signOut(person, application);
      await receiver.until(1);

      const [token = ''] = receiver.tokens;
      expect(decodeProtectedHeader(token)).toMatchObject({ alg: idTokenAlg, typ: 'logout+jwt' });
      const { payload } = await verify(token, application.clientId);
      expect(payload).toEqual({
        iss: server.issuer,
        aud: application.clientId,
        iat: expect.any(Number),
        exp: (payload.iat ?? 0) + 120,
        jti: expect.stringMatching(/^[\w-]{20,}$/),
        sub,
        sid,
        events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
      });
      expect(sub).toBe(credentials.account.sub);
      await eventually(async () =>
        expect(await eventsOf(application.clientId, 'logout_notice.delivered')).toEqual([
          { attempt: 1, status: 200 },
        ]),
      );
      expect([receiver.tokens.length, await waiting()]).toEqual([1, 0]);
    },
  );

  it('names the person only where the client wants no session, and its ID tokens carry no sid', async () => {
    const { application, person, tokens } = await signedIn(
      server,
      told({ backchannelLogoutSessionRequired: false }),
    );
    expect(decodeJwt(tokens.id_token ?? '')['sid']).toBeUndefined();
    await signOut(person, application);
    await receiver.until(1);
    expect(decodeJwt(receiver.tokens[0] ?? '')).toMatchObject({ sub: decodeJwt(tokens.id_token ?? '').sub });
    expect(decodeJwt(receiver.tokens[0] ?? '')['sid']).toBeUndefined();
  });

  it('of one application tells that one, and leaves the session and the others', async () => {
    const first = await signedIn(server, told(), 'openid');
    const other = await registerApplication(server, told());
    const request = authorizationRequest(server, other, { scope: 'openid' });
    const code = codeOf(await authorize(first.person, request));
    const answer = await redeem(server, other, { code, verifier: request.verifier });
    const otherTokens = (await answer.json()) as Tokens;

    await signOut(first.person, first.application, { isWhole: false });
    await receiver.until(1);
    expect(decodeJwt(receiver.tokens[0] ?? '').aud).toBe(first.application.clientId);
    await withinASecond(async () =>
      expect(await introspect(server, first.application, first.tokens.access_token)).toEqual({
        active: false,
      }),
    );
    expect((await introspect(server, other, otherTokens.access_token)).active).toBe(true);

    // Nothing is asked: the session stands.
    const again = await authorize(first.person, authorizationRequest(server, first.application));
    expect(codeOf(again)).toEqual(expect.any(String));
    await signOut(first.person, other);
    await receiver.until(3);
    expect(new Set(receiver.tokens.slice(1).map((token) => decodeJwt(token).aud))).toEqual(
      new Set([first.application.clientId, other.clientId]),
    );
  });

  it('by somebody else who signs in over it ends the first session, and goes on for the other', async () => {
    const { application, credentials, person, tokens } = await signedIn(
      server,
      told({
        redirectUris: [`${receiver.origin}/callback`],
        frontchannelLogoutUri: `${receiver.origin}/frame`,
      }),
      'openid',
    );
    const other = await registerPerson(server);
    const request = authorizationRequest(server, application, { prompt: 'login', scope: 'openid' });
    const between = await person.submit(
      await person.open(request.url),
      { identifier: other.email, password: other.password },
      '/login',
    );
    const frames = await person.submit(between, {}, '/logout/confirm');
    expect(frames.html).toContain(`src="${receiver.origin}/frame?`);
    const onward = /href="([^"]+)" data-continue/.exec(frames.html)?.[1]?.replaceAll('&amp;', '&') ?? '';
    const code = codeOf(await person.open(onward));
    const answer = await redeem(server, application, { code, verifier: request.verifier });
    const fresh = (await answer.json()) as Tokens;
    expect(decodeJwt(fresh.id_token ?? '').sub).toBe(other.account.sub);

    await receiver.until(1);
    const { sid } = decodeJwt(tokens.id_token ?? '');
    expect(decodeJwt(receiver.tokens[0] ?? '')).toMatchObject({ sub: credentials.account.sub, sid });
    expect(decodeJwt(fresh.id_token ?? '')['sid']).not.toBe(sid);
    expect(await introspect(server, application, tokens.access_token)).toEqual({ active: false });
    expect((await introspect(server, application, fresh.access_token)).active).toBe(true);
  });

  it('tells nobody who did not ask for it, and nobody when the person stays', async () => {
    const quiet = await signedIn(server);
    await signOut(quiet.person, quiet.application);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(receiver.tokens).toEqual([]);
  });
});

describe('an application that is in trouble', () => {
  it('is told again after a pause, with a token of that moment', async () => {
    receiver.answerWith(503, 500, 204);
    const { application, person } = await signedIn(server, told());
    await signOut(person, application);
    await receiver.until(1);
    await eventually(async () =>
      expect(await eventsOf(application.clientId, 'logout_notice.failed')).toMatchObject([
        { attempt: 1, reason: 'status 503' },
      ]),
    );
    clock.advanceSeconds(60);
    await receiver.until(2);
    await eventually(async () =>
      expect(await eventsOf(application.clientId, 'logout_notice.failed')).toHaveLength(2),
    );
    clock.advanceSeconds(60);
    await receiver.until(3);
    await eventually(async () =>
      expect(await eventsOf(application.clientId, 'logout_notice.delivered')).toEqual([
        { attempt: 3, status: 204 },
      ]),
    );
    const claims = receiver.tokens.map((token) => decodeJwt(token));
    expect(new Set(claims.map(({ jti }) => jti)).size).toBe(3);
    expect((claims[2]?.iat ?? 0) - (claims[0]?.iat ?? 0)).toBeGreaterThanOrEqual(120);
  });

  it('is not told again once it said no', async () => {
    receiver.answerWith(400);
    const { application, person } = await signedIn(server, told());
    await signOut(person, application);
    await eventually(async () =>
      expect(await eventsOf(application.clientId, 'logout_notice.refused')).toEqual([
        { attempt: 1, status: 400 },
      ]),
    );
    clock.advanceSeconds(7200);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect([receiver.tokens.length, await waiting()]).toEqual([1, 0]);
  });

  it('that is down for long is given up in the end, and the others are not kept waiting', async () => {
    const down = await signedIn(server, { backchannelLogoutUri: 'http://127.0.0.1:1/backchannel' });
    const up = await signedIn(server, told());
    await signOut(down.person, down.application);
    await signOut(up.person, up.application);
    await receiver.until(1);
    await eventually(async () =>
      expect(await eventsOf(down.application.clientId, 'logout_notice.failed')).toMatchObject([
        { attempt: 1, reason: 'unreachable' },
      ]),
    );
    clock.advanceSeconds(86_401);
    await eventually(async () =>
      expect(await eventsOf(down.application.clientId, 'logout_notice.given_up')).toEqual([
        { attempt: 2, reason: 'unreachable' },
      ]),
    );
    expect(await waiting()).toBe(0);
  });

  it('on the inside is not asked unless the operator allows it', async () => {
    const { application, person } = await signedIn(server, {
      backchannelLogoutUri: receiver.origin.replace('127.0.0.1', '[::ffff:7f00:2]') + '/backchannel',
    });
    await signOut(person, application);
    await eventually(async () =>
      expect(await eventsOf(application.clientId, 'logout_notice.failed')).toMatchObject([
        { reason: 'address_refused' },
      ]),
    );
    await server.database.db.query('delete from logout_notices');
    expect(receiver.tokens).toEqual([]);
  });
});

describe('what ends everything of an account', () => {
  it.each([
    ['disabling it', (id: string) => server.subjects.accounts.disable(id, OPERATOR)],
    [
      'a new password',
      (id: string) => server.subjects.accounts.setPassword(id, 'nine blue kettles sing', OPERATOR),
    ],
    ['new factors', (id: string) => server.subjects.factors.resetFactors(id, OPERATOR)],
    [
      'signing it out everywhere',
      async (id: string) =>
        server.subjects.signOut.everywhere(await server.subjects.accounts.get(id), OPERATOR, {
          offline: true,
        }),
    ],
  ])('%s tells every application of every session', async (_what, end) => {
    const { application, credentials, tokens } = await signedIn(server, told());
    const elsewhere = createPerson(server.issuer);
    const request = authorizationRequest(server, application);
    const code = codeOf(await authorize(elsewhere, request, credentials));
    const second = (await (
      await redeem(server, application, { code, verifier: request.verifier })
    ).json()) as Tokens;

    await end(credentials.account.id);
    await receiver.until(2);
    const sids = [tokens, second].map(({ id_token: idToken = '' }) => decodeJwt(idToken)['sid']);
    expect(new Set(receiver.tokens.map((token) => decodeJwt(token)['sid']))).toEqual(new Set(sids));
    await withinASecond(async () => {
      expect(await introspect(server, application, tokens.access_token)).toEqual({ active: false });
      expect((await refresh(server, application, tokens.refresh_token ?? '')).status).toBe(400);
    });
  });

  it('tells it once where a person is signed out of sessions that ended before', async () => {
    const { application, credentials, person } = await signedIn(server, told());
    await signOut(person, application);
    await receiver.until(1);
    await server.subjects.signOut.everywhere(credentials.account, OPERATOR);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect(receiver.tokens).toHaveLength(1);
  });
});

describe('registration', () => {
  it.each([
    [
      'http of a public client',
      { backchannelLogoutUri: 'http://app.example/x', authMethod: 'none', kind: 'native' },
    ],
    ['a fragment', { backchannelLogoutUri: 'https://app.example/x#y' }],
    ['user information', { backchannelLogoutUri: 'https://u:p@app.example/x' }],
    ['another scheme', { backchannelLogoutUri: 'ftp://app.example/x' }],
    ['another origin', { frontchannelLogoutUri: 'https://other.example/frame' }],
    ['a script', { frontchannelLogoutUri: 'javascript:alert(1)' }],
  ] as [string, Partial<NewClient>][])('refuses %s', async (_what, input) => {
    await expect(registerApplication(server, input)).rejects.toMatchObject({ status: 400 });
  });

  it('is truthfully announced', async () => {
    const response = await fetch(`${server.issuer}/.well-known/openid-configuration`);
    expect(await response.json()).toMatchObject({
      backchannel_logout_supported: true,
      backchannel_logout_session_supported: true,
      frontchannel_logout_supported: true,
      frontchannel_logout_session_supported: true,
      end_session_endpoint: `${server.issuer}/oauth/logout`,
    });
  });
});
