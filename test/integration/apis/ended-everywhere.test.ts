/**
 * After a revocation, a sign-out, a disabled account or a withdrawn consent: introspection and userinfo say no on every
 * process within a second, a refresh is refused, and the log says why.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  ask,
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
import { basicOf, introspect, OPERATOR, registerApplication } from '../../support/application.ts';
import { withinASecond } from '../../support/eventually.ts';
import { startGatehouse, type StoreKind, type TestServer } from '../../support/gatehouse.ts';
import { recordedOf } from '../../support/recorded.ts';

interface Access {
  visitor: Visitor;
  ledger: RegisteredApi;
  vault: RegisteredApi;
  /** A JWT, an opaque one, and one for userinfo. */
  jwt: string;
  opaque: string;
  own: string;
  refreshToken: string;
}

type End = (access: Access, server: TestServer) => Promise<unknown>;

const ENDS: [string, string, End][] = [
  [
    'the refresh token is revoked',
    'openid offline_access',
    ({ visitor: { application }, refreshToken }, server) =>
      fetch(`${server.issuer}/oauth/revoke`, {
        method: 'POST',
        headers: { authorization: basicOf(application) },
        body: new URLSearchParams({ token: refreshToken }),
      }),
  ],
  [
    'the person signs out',
    'openid',
    async ({ visitor: { person } }, server) =>
      person.submit(await person.open(`${server.issuer}/oauth/logout`), { logout: 'yes' }, '/oauth/logout'),
  ],
  [
    'the account is disabled',
    'openid offline_access',
    ({ visitor: { credentials } }, server) =>
      server.subjects.accounts.disable(credentials.account.id, OPERATOR),
  ],
  [
    'the consent is withdrawn',
    'openid offline_access',
    ({ visitor: { application, credentials } }, server) =>
      server.subjects.consents.withdraw(credentials.account, application.clientId, OPERATOR),
  ],
];

describe.each<StoreKind>(['postgres', 'redis'])('access, with sessions in %s', (store) => {
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

  const give = async (scope: string): Promise<Access> => {
    const [ledger, vault] = [
      await registerApi(server),
      await registerApi(server, { accessTokenFormat: 'opaque' }),
    ];
    const roles = [
      await registerRole(server, ledger, ['read']),
      await registerRole(server, vault, ['audit']),
    ];
    const application = await registerApplication(server);
    const visitor = await registerVisitor(server, { roles, application });
    const asked = await ask(server, visitor, {
      resource: [ledger.identifier, vault.identifier],
      scope: `${scope} read audit`,
    });
    const first = await tokensOf(await redeemFor(server, application, asked, ledger.identifier));
    const refreshed = (token: string, parameters: Record<string, string> = {}) =>
      refreshFor(server, application, token, parameters).then(tokensOf);
    const second = await refreshed(first.refresh_token!, { resource: vault.identifier });
    const third = await refreshed(second.refresh_token!);
    return {
      visitor,
      ledger,
      vault,
      jwt: first.access_token,
      opaque: second.access_token,
      own: third.access_token,
      refreshToken: third.refresh_token!,
    };
  };
  const nodes = () => [server, other].map(({ address }) => ({ issuer: `http://localhost:${address.port}` }));
  const userinfo = ({ issuer }: { issuer: string }, token: string) =>
    fetch(`${issuer}/oauth/userinfo`, { headers: { authorization: `Bearer ${token}` } });
  const activeAt = async (node: { issuer: string }, access: Access): Promise<boolean[]> => {
    const { visitor, ledger, vault, jwt, opaque, own } = access;
    const told = await Promise.all([
      introspect(node, ledger.standing, jwt),
      introspect(node, vault.standing, opaque),
      ...[jwt, opaque, own, access.refreshToken].map((token) => introspect(node, visitor.application, token)),
    ]);
    return [...told.map(({ active }) => active), (await userinfo(node, own)).status === 200];
  };

  it.each(ENDS)('ends where %s', async (_name, scope, end) => {
    const access = await give(scope);
    for (const node of nodes()) expect(await activeAt(node, access)).toEqual(Array(7).fill(true));
    await end(access, server);

    const endings = nodes().map((node) =>
      withinASecond(async () => expect(await activeAt(node, access)).toEqual(Array(7).fill(false))),
    );
    await Promise.all(endings);
    for (const node of nodes()) {
      const answer = await userinfo(node, access.own);
      expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([
        401,
        expect.stringContaining('error="invalid_token"'),
      ]);
      const refused = await refreshFor(node, access.visitor.application, access.refreshToken);
      expect(await refusalOf(refused)).toEqual([400, 'invalid_grant']);
      expect(await recordedOf(server, refused)).toMatchObject([
        { type: 'token.refused', payload: { error: 'invalid_grant', reason: expect.any(String) } },
      ]);
    }
  });
});
