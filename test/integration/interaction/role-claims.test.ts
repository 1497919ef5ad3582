/** How each application reads roles, and that nobody reads what was not granted. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';

import type { NewClient } from '../../../src/clients/service.ts';
import {
  authorizationRequest,
  authorize,
  codeOf,
  OPERATOR,
  redeem,
  refresh,
  registerApplication,
  registerPerson,
  type Tokens,
} from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';

const ROLES = ['app-admin', 'app-viewer', 'payroll'];

let server: TestServer;
let who: Awaited<ReturnType<typeof registerPerson>>;
beforeAll(async () => {
  server = await startGatehouse();
  who = await registerPerson(server);
  for (const name of ROLES) {
    await server.subjects.rbac.createRole({ name }, OPERATOR);
    await server.subjects.rbac.grantRole(who.account.id, name, OPERATOR);
  }
});
afterAll(() => server.stop());

async function claimsFor(input: Partial<NewClient>, scope: string) {
  const application = await registerApplication(server, input);
  const request = authorizationRequest(server, application, { scope });
  const visited = await authorize(createPerson(server.issuer), request, who);
  const response = await redeem(server, application, { code: codeOf(visited), verifier: request.verifier });
  const tokens = (await response.json()) as Tokens;
  const userinfo = await fetch(`${server.issuer}/oauth/userinfo`, {
    headers: { authorization: `Bearer ${tokens.access_token}` },
  });
  return {
    application,
    tokens,
    idToken: decodeJwt(tokens.id_token ?? '') as Record<string, unknown>,
    userinfo: (await userinfo.json()) as Record<string, unknown>,
  };
}

const sorted = (value: unknown): unknown => (Array.isArray(value) ? [...(value as string[])].sort() : value);

it.each<[string, NewClient['rolesClaim'], (claims: Record<string, unknown>) => unknown, string[]]>([
  ['as roles', { name: 'roles' }, (claims) => claims['roles'], ROLES],
  ['as groups', { name: 'groups' }, (claims) => claims['groups'], ROLES],
  [
    'nested, as Keycloak has them',
    { name: 'realm_access.roles' },
    (claims) => (claims['realm_access'] as Record<string, unknown>)['roles'],
    ROLES,
  ],
  [
    'under a URI',
    { name: 'https://app.example/claims.roles' },
    (claims) => claims['https://app.example/claims.roles'],
    ROLES,
  ],
  [
    'with a prefix only',
    { name: 'roles', prefix: 'app-' },
    (claims) => claims['roles'],
    ['app-admin', 'app-viewer'],
  ],
  ['with a prefix that nobody has', { name: 'groups', prefix: 'none-' }, (claims) => claims['groups'], []],
])('roles are told %s', async (_name, rolesClaim, read, expected) => {
  const { idToken, userinfo } = await claimsFor(rolesClaim ? { rolesClaim } : {}, 'openid roles');
  for (const claims of [idToken, userinfo]) {
    expect(sorted(read(claims))).toEqual([...expected].sort());
    if (rolesClaim?.name !== 'roles') expect(claims['roles']).toBeUndefined();
  }
});

it('roles come with their scope alone', async () => {
  for (const rolesClaim of [{ name: 'roles' }, { name: 'groups' }, { name: 'realm_access.roles' }]) {
    const { idToken, userinfo } = await claimsFor(
      { rolesClaim, claimsInIdToken: true },
      'openid profile email offline_access',
    );
    for (const claims of [idToken, userinfo]) {
      for (const name of ['roles', 'groups', 'realm_access']) expect(claims[name]).toBeUndefined();
    }
  }
});

it('the ID token holds who it is about; the rest is at userinfo', async () => {
  const { idToken, userinfo } = await claimsFor({}, 'openid profile email');
  for (const name of ['email', 'name', 'preferred_username']) expect(idToken[name]).toBeUndefined();
  expect(userinfo).toMatchObject({
    sub: who.account.sub,
    email: who.email,
    email_verified: true,
    name: 'Ada',
  });
});

it('the ID token holds every granted claim for a client that reads nothing else', async () => {
  const { application, tokens, idToken } = await claimsFor(
    { claimsInIdToken: true, rolesClaim: { name: 'groups' } },
    'openid email roles offline_access',
  );
  expect(idToken).toMatchObject({ email: who.email, email_verified: true, groups: expect.any(Array) });
  expect(idToken['name']).toBeUndefined();
  const renewed = await refresh(server, application, tokens.refresh_token ?? '');
  const again = decodeJwt(((await renewed.json()) as Tokens).id_token ?? '') as Record<string, unknown>;
  expect(again).toMatchObject({ email: who.email, groups: expect.any(Array) });
});

it('a role that was taken away is gone at the next refresh', async () => {
  const { application, tokens } = await claimsFor({}, 'openid roles offline_access');
  await server.subjects.rbac.revokeRole(who.account.id, 'payroll', OPERATOR);
  try {
    const renewed = (await (await refresh(server, application, tokens.refresh_token ?? '')).json()) as Tokens;
    expect(sorted(decodeJwt(renewed.id_token ?? '')['roles'])).toEqual(['app-admin', 'app-viewer']);
  } finally {
    await server.subjects.rbac.grantRole(who.account.id, 'payroll', OPERATOR);
  }
});
