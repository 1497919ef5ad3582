import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  authorizationRequest,
  authorize,
  codeOf,
  introspect,
  OPERATOR,
  redeem,
  refresh,
  signedIn,
  type Tokens,
} from '../../support/application.ts';
import { withinASecond } from '../../support/eventually.ts';
import { startGatehouse, type StoreKind, type TestServer } from '../../support/gatehouse.ts';
import { startOfSecond } from '../../support/seconds.ts';

type SignedInPerson = Awaited<ReturnType<typeof signedIn>>;

const WAYS = {
  'the page of the provider': async (server: TestServer, { person, application }: SignedInPerson) => {
    const url = `${server.issuer}/oauth/logout?client_id=${encodeURIComponent(application.clientId)}`;
    const after = await person.submit(await person.open(url), { logout: 'yes' }, 'logout');
    expect(after.status).toBe(200);
  },
  'an operator, of everything': async (server: TestServer, { credentials }: SignedInPerson) => {
    await server.subjects.signOut.everywhere(credentials.account, OPERATOR);
  },
  'an operator, of the session': async (server: TestServer, { credentials }: SignedInPerson) => {
    const { rows } = await server.database.db.query<{ session_uid: string }>(
      `select session_uid from audit_events where type = 'authorization.succeeded' and account_id = $1`,
      [credentials.account.id],
    );
    await server.subjects.signOut.session(credentials.account, rows[0]!.session_uid, OPERATOR);
  },
  'an operator, of the application': async (
    server: TestServer,
    { credentials, application }: SignedInPerson,
  ) => {
    await server.subjects.signOut.application(credentials.account, application.clientId, OPERATOR);
  },
};

/** In the same browser, so without a question, and under the same grant. */
async function signInAgain(
  server: TestServer,
  { person, application }: SignedInPerson,
  scope = 'openid',
): Promise<Tokens> {
  const request = authorizationRequest(server, application, { scope });
  const code = codeOf(await authorize(person, request));
  const response = await redeem(server, application, { code, verifier: request.verifier });
  return (await response.json()) as Tokens;
}

describe.each([
  { store: 'postgres', isConfigured: false },
  { store: 'redis', isConfigured: true },
] as { store: StoreKind; isConfigured: boolean }[])(
  'where offline grants end at a sign-out: $isConfigured ($store)',
  ({ store, isConfigured }) => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startGatehouse({
        store,
        env: { GATEHOUSE_SIGN_OUT_ENDS_OFFLINE_GRANTS: String(isConfigured) },
      });
    });
    afterAll(() => server.stop());

    describe.each(Object.entries(WAYS))('signed out by %s', (_name, signOut) => {
      it('what is bound to the session ends', async () => {
        const signed = await signedIn(server, {}, 'openid');
        const refreshToken = signed.tokens.refresh_token ?? '';
        expect((await refresh(server, signed.application, refreshToken)).status).toBe(200);
        await signOut(server, signed);
        await withinASecond(async () =>
          expect(await introspect(server, signed.application, signed.tokens.access_token)).toEqual({
            active: false,
          }),
        );
        expect((await refresh(server, signed.application, refreshToken)).status).toBe(400);
      });

      it.each([undefined, true, false])(
        'offline access by the policy; the client says %s',
        async (override) => {
          const signed = await signedIn(
            server,
            override === undefined ? {} : { endsOfflineGrants: override },
            'openid offline_access',
          );
          await signOut(server, signed);
          const isEnded = override ?? isConfigured;
          const active = { active: !isEnded };
          await withinASecond(async () =>
            expect(
              await introspect(server, signed.application, signed.tokens.refresh_token ?? ''),
            ).toMatchObject(active),
          );
          await new Promise((resolve) => setTimeout(resolve, isEnded ? 0 : 1_200));
          const refreshed = await refresh(server, signed.application, signed.tokens.refresh_token ?? '');
          expect(refreshed.status).toBe(isEnded ? 400 : 200);
        },
      );
    });

    it.each([
      'the page of the provider',
      'an operator, of everything',
      'an operator, of the session',
    ] as const)(
      'offline access ends by the policy also where the last sign-in was without it; signed out by %s',
      async (way) => {
        const signed = await signedIn(server, {}, 'openid offline_access');
        await signInAgain(server, signed);
        await WAYS[way](server, signed);
        await server.subjects.revocations.refresh();
        const refreshed = await refresh(server, signed.application, signed.tokens.refresh_token ?? '');
        expect(refreshed.status).toBe(isConfigured ? 400 : 200);
      },
    );

    it.each([{ isSessionOver: false }, { isSessionOver: true }])(
      'offline access ends whatever the policy says where that is asked for, and is counted; session over: $isSessionOver',
      async ({ isSessionOver }) => {
        const signed = await signedIn(server, { endsOfflineGrants: false }, 'openid offline_access');
        const { account } = signed.credentials;
        if (isSessionOver) await WAYS['the page of the provider'](server, signed);
        const { signOut, revocations } = server.subjects;
        for (const offlineGrants of [1, 0]) {
          const done = await signOut.everywhere(account, OPERATOR, { offline: true });
          expect(done).toMatchObject({ offlineGrants });
        }
        await revocations.refresh();
        const refreshed = await refresh(server, signed.application, signed.tokens.refresh_token ?? '');
        expect(refreshed.status).toBe(400);
      },
    );

    it('offline access that outlived its session is found by a later sign-out, and counted once', async () => {
      const signed = await signedIn(server, { endsOfflineGrants: false }, 'openid offline_access');
      const { account } = signed.credentials;
      const refreshToken = signed.tokens.refresh_token ?? '';
      await WAYS['the page of the provider'](server, signed);
      expect((await refresh(server, signed.application, refreshToken)).status).toBe(200);
      await server.subjects.clients.update(
        signed.application.clientId,
        { endsOfflineGrants: true },
        OPERATOR,
      );
      const { signOut, revocations } = server.subjects;
      const { clientId } = signed.application;
      expect(await signOut.application(account, clientId, OPERATOR)).toEqual({
        sessions: 0,
        applications: 0,
        offlineGrants: 1,
      });
      await revocations.refresh();
      expect((await refresh(server, signed.application, refreshToken)).status).toBe(400);
      for (const options of [{}, { offline: true }]) {
        expect(await signOut.everywhere(account, OPERATOR, options)).toMatchObject({ offlineGrants: 0 });
      }
    });

    it('offline access that was kept when its application was left ends later, also after a return without it', async () => {
      const signed = await signedIn(server, { endsOfflineGrants: false }, 'openid offline_access');
      const { account } = signed.credentials;
      const { signOut, revocations } = server.subjects;
      await signOut.application(account, signed.application.clientId, OPERATOR);
      await signInAgain(server, signed, 'openid');
      expect(await signOut.everywhere(account, OPERATOR, { offline: true })).toMatchObject({
        offlineGrants: 1,
      });
      await revocations.refresh();
      expect((await refresh(server, signed.application, signed.tokens.refresh_token ?? '')).status).toBe(400);
    });

    it('offline access that was withdrawn is not ended once more, nor counted', async () => {
      const signed = await signedIn(server, { endsOfflineGrants: true }, 'openid offline_access');
      const { account } = signed.credentials;
      const { clientId } = signed.application;
      const { consents, revocations, signOut } = server.subjects;
      await consents.withdraw(account, clientId, OPERATOR);
      await revocations.refresh();
      const nothing = { applications: 0, offlineGrants: 0 };
      expect(await signOut.application(account, clientId, OPERATOR)).toEqual({ sessions: 0, ...nothing });
      const [{ sessionUid } = { sessionUid: '' }] = await signOut.list(account);
      expect(await signOut.session(account, sessionUid, OPERATOR)).toEqual({ sessions: 1, ...nothing });
      for (const options of [{}, { offline: true }]) {
        expect(await signOut.everywhere(account, OPERATOR, options)).toMatchObject(nothing);
      }
      const { rows } = await server.database.db.query(
        `select 1 from revocations join audit_events a on a.grant_id = subject
          where kind = 'grant' and a.account_id = $1`,
        [account.id],
      );
      expect(rows).toEqual([]);
    });

    it('offline access that was given again after it had been withdrawn ends, and is counted', async () => {
      const signed = await signedIn(server, { endsOfflineGrants: true }, 'openid offline_access');
      await startOfSecond();
      const { account } = signed.credentials;
      const { consents, revocations, signOut } = server.subjects;
      await consents.withdraw(account, signed.application.clientId, OPERATOR);
      await revocations.refresh();
      const { refresh_token: refreshToken = '' } = await signInAgain(server, signed, 'openid offline_access');
      expect(await signOut.everywhere(account, OPERATOR)).toMatchObject({
        applications: 1,
        offlineGrants: 1,
      });
      await revocations.refresh();
      expect((await refresh(server, signed.application, refreshToken)).status).toBe(400);
    });

    it('what is bound to the session ends with the application, also beside offline access', async () => {
      const signed = await signedIn(server, {}, 'openid');
      await signInAgain(server, signed, 'openid offline_access');
      await WAYS['an operator, of the application'](server, signed);
      await server.subjects.revocations.refresh();
      expect(await introspect(server, signed.application, signed.tokens.access_token)).toEqual({
        active: false,
      });
    });

    it('whoever was signed out everywhere has to sign in again, and can at once', async () => {
      const signed = await signedIn(server, {}, 'openid');
      await startOfSecond();
      await server.subjects.signOut.everywhere(signed.credentials.account, OPERATOR);
      await server.subjects.revocations.refresh();
      const url = new URL(`${server.issuer}/oauth/authorize`);
      url.search = new URLSearchParams({
        client_id: signed.application.clientId,
        redirect_uri: signed.application.redirectUri,
        response_type: 'code',
        scope: 'openid',
        state: 's',
        code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
        code_challenge_method: 'S256',
      }).toString();
      const page = await signed.person.open(url.href);
      expect(page.html).toContain('name="password"');
      const { email, password } = signed.credentials;
      const after = await signed.person.submit(page, { identifier: email, password }, '/login');
      expect(after.url.searchParams.get('code')).toEqual(expect.any(String));
    });
  },
);
