/** What ends an access token before its time, on every process; and who may ask about one. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose';

import {
  ask,
  machineToken,
  redeemFor,
  refreshFor,
  refusalOf,
  registerApi,
  registerRole,
  registerVisitor,
  tokensOf,
  type RegisteredApi,
  type Visitor,
} from '../../support/apis.ts';
import {
  basicOf,
  introspect,
  OPERATOR,
  registerApplication,
  type Application,
  type Tokens,
} from '../../support/application.ts';
import { withinASecond } from '../../support/eventually.ts';
import { startGatehouse, type StoreKind, type TestServer } from '../../support/gatehouse.ts';
import { recordedOf } from '../../support/recorded.ts';

const FORMATS = ['jwt', 'opaque'] as const;
const WITHIN_MS = 1_000;

describe.each<StoreKind>(['postgres', 'redis'])('access tokens for APIs, with sessions in %s', (store) => {
  let server: TestServer;
  let other: TestServer;
  beforeAll(async () => {
    server = await startGatehouse({ store });
    other = await startGatehouse({ store, sharing: server });
  });
  afterAll(async () => {
    await other.stop();
    await server.stop();
  });

  interface Given {
    ledger: RegisteredApi;
    visitor: Visitor;
    tokens: Tokens;
  }
  const given = async (
    accessTokenFormat: 'jwt' | 'opaque',
    scope = 'openid offline_access read',
  ): Promise<Given> => {
    const ledger = await registerApi(server, { accessTokenFormat });
    const role = await registerRole(server, ledger, ['read']);
    const visitor = await registerVisitor(server, { roles: [role] });
    const asked = await ask(server, visitor, { resource: ledger.identifier, scope });
    const tokens = await tokensOf(await redeemFor(server, visitor.application, asked, ledger.identifier));
    for (const { url } of nodes()) {
      expect(await introspect({ issuer: url }, ledger.standing, tokens.access_token)).toMatchObject({
        active: true,
      });
    }
    return { ledger, visitor, tokens };
  };
  const nodes = (): { url: string }[] =>
    [server, other].map(({ address }) => ({ url: `http://localhost:${address.port}` }));
  const revoke = (application: Application, token: string, node = server.issuer): Promise<Response> =>
    fetch(`${node}/oauth/revoke`, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        authorization: basicOf(application),
      },
      body: new URLSearchParams({ token }),
    });
  /** Inactive everywhere within a second of now, for the API and for the application. */
  const expectEnded = async ({ ledger, visitor, tokens }: Given): Promise<void> => {
    const endings = nodes().flatMap(({ url }) =>
      [ledger.standing, visitor.application].map((asking) =>
        withinASecond(async () =>
          expect(await introspect({ issuer: url }, asking, tokens.access_token)).toEqual({ active: false }),
        ),
      ),
    );
    await Promise.all(endings);
  };

  describe.each(FORMATS)('as %s', (format) => {
    it('end when they are revoked, and nothing else does', async () => {
      const first = await given(format);
      const { application } = first.visitor;
      const next = await tokensOf(
        await refreshFor(server, application, first.tokens.refresh_token!, {
          resource: first.ledger.identifier,
        }),
      );
      const response = await revoke(application, first.tokens.access_token);
      expect(response.status).toBe(200);
      await expectEnded(first);
      expect(await introspect(server, first.ledger.standing, next.access_token)).toMatchObject({
        active: true,
      });
      expect(await recordedOf(server, response)).toEqual([
        expect.objectContaining({
          type: 'token.revoked',
          payload: {
            kind: 'AccessToken',
            fingerprint: server.subjects.audit.fingerprint(first.tokens.access_token),
          },
        }),
      ]);
    });

    it('stand when a stranger revokes them, or the API that they are for', async () => {
      const { ledger, tokens } = await given(format);
      for (const stranger of [await registerApplication(server), ledger.standing]) {
        const response = await revoke(stranger, tokens.access_token);
        expect(response.status).toBe(200);
        expect(await recordedOf(server, response)).toEqual([
          expect.objectContaining({ type: 'token.revocation_refused', outcome: 'failure' }),
        ]);
      }
      expect(await introspect(server, ledger.standing, tokens.access_token)).toMatchObject({ active: true });
    });

    it('end with the account', async () => {
      const ended = await given(format);
      await server.subjects.accounts.disable(ended.visitor.credentials.account.id, OPERATOR);
      await expectEnded(ended);
      const { application } = ended.visitor;
      expect(await refusalOf(await refreshFor(server, application, ended.tokens.refresh_token!))).toEqual([
        400,
        'invalid_grant',
      ]);
    });

    it('end with the grant: the refresh token was revoked', async () => {
      const ended = await given(format);
      await revoke(ended.visitor.application, ended.tokens.refresh_token!);
      await expectEnded(ended);
    });

    it('end with the session that they came from, unless they were to outlast it', async () => {
      const [bound, offline] = [
        await given(format, 'openid read'),
        await given(format, 'openid offline_access read'),
      ];
      for (const { visitor } of [bound, offline]) {
        const page = await visitor.person.open(`${server.issuer}/oauth/logout`);
        await visitor.person.submit(page, { logout: 'yes' }, '/oauth/logout/confirm');
      }
      await expectEnded(bound);
      expect(await introspect(server, offline.ledger.standing, offline.tokens.access_token)).toMatchObject({
        active: true,
      });
    });

    it('are nobody’s when their API or their client is gone', async () => {
      const [withoutApi, withoutClient] = [await given(format), await given(format)];
      await server.subjects.apis.delete(withoutApi.ledger.identifier, OPERATOR);
      await expectEnded(withoutApi);
      // Nor are they those of another API that takes the name.
      const { identifier } = withoutApi.ledger;
      const namesake = await registerApi(server, { identifier, accessTokenFormat: format });
      await new Promise((resolve) => setTimeout(resolve, WITHIN_MS));
      expect(await introspect(server, namesake.standing, withoutApi.tokens.access_token)).toEqual({
        active: false,
      });
      await server.subjects.clients.delete(withoutClient.visitor.application.clientId, OPERATOR);
      expect(
        await introspect(server, withoutClient.ledger.standing, withoutClient.tokens.access_token),
      ).toEqual({ active: false });
    });

    it('tell nothing to strangers, and that is recorded', async () => {
      const { tokens } = await given(format);
      const stranger = await registerApi(server);
      const response = await fetch(`${server.issuer}/oauth/introspect`, {
        method: 'POST',
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          authorization: basicOf(stranger.standing),
        },
        body: new URLSearchParams({ token: tokens.access_token }),
      });
      expect(await response.json()).toEqual({ active: false });
      expect(await recordedOf(server, response)).toEqual([
        expect.objectContaining({ type: 'token.introspection_refused', outcome: 'failure' }),
      ]);
    });

    it('are told signed to who asks so (RFC 9701)', async () => {
      const { ledger, tokens } = await given(format);
      const asked = (token: string) =>
        fetch(`${server.issuer}/oauth/introspect`, {
          method: 'POST',
          headers: {
            'content-type': 'application/x-www-form-urlencoded',
            authorization: basicOf(ledger.standing),
            accept: 'application/token-introspection+jwt',
          },
          body: new URLSearchParams({ token }),
        });
      const response = await asked(tokens.access_token);
      expect(response.headers.get('content-type')).toContain('application/token-introspection+jwt');
      const { payload } = await jwtVerify(
        await response.text(),
        createRemoteJWKSet(new URL(`${server.issuer}/oauth/jwks`)),
        { issuer: server.issuer, audience: ledger.standing.clientId, typ: 'token-introspection+jwt' },
      );
      expect(payload['token_introspection']).toMatchObject({
        active: true,
        aud: ledger.identifier,
        scope: 'read',
      });
      expect(decodeJwt(await (await asked('nonsense')).text())['token_introspection']).toEqual({
        active: false,
      });
    });
  });

  it('of a machine end when it revokes them', async () => {
    const ledger = await registerApi(server);
    const { standing: machine, identifier: resource } = ledger;
    await server.subjects.apis.permitClient(
      { clientId: machine.clientId, api: resource, permissions: ['read'] },
      OPERATOR,
    );
    const { access_token: token } = await tokensOf(await machineToken(server, machine, { resource }));
    expect(await introspect(server, machine, token)).toMatchObject({ active: true });
    await revoke(machine, token);
    expect(await introspect(server, machine, token)).toEqual({ active: false });
  });

  it('are taken when they were signed by a key that is retired, and not when it was withdrawn', async () => {
    const { ledger, tokens } = await given('jwt');
    const { keys } = server.subjects;
    await keys.rotate({ alg: 'RS256', immediately: true }, OPERATOR);
    expect(await introspect(server, ledger.standing, tokens.access_token)).toMatchObject({ active: true });
    const retired = (await keys.list()).find(({ alg, state }) => alg === 'RS256' && state === 'retired');
    await keys.retire(retired!.kid, OPERATOR, { withdrawNow: true });
    expect(await introspect(server, ledger.standing, tokens.access_token)).toEqual({ active: false });
  });
});
