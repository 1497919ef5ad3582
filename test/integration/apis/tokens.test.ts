import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';

import {
  ask,
  machineToken,
  redeemFor,
  refreshFor,
  refusalOf,
  registerApi,
  registerMachine,
  registerRole,
  registerVisitor,
  tokensOf,
} from '../../support/apis.ts';
import { codeOf, introspect, OPERATOR, registerApplication } from '../../support/application.ts';
import { startGatehouse, type StoreKind, type TestServer } from '../../support/gatehouse.ts';
import { recordedOf } from '../../support/recorded.ts';

describe.each<StoreKind>(['postgres', 'redis'])('access tokens for APIs, with sessions in %s', (store) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startGatehouse({ store });
  });
  afterAll(() => server.stop());

  const userinfo = (token: string): Promise<Response> =>
    fetch(`${server.issuer}/oauth/userinfo`, { headers: { authorization: `Bearer ${token}` } });

  it.each(['RS256', 'ES256', 'EdDSA'] as const)('are JWTs that a library verifies, by %s', async (alg) => {
    const ledger = await registerApi(server, { signingAlg: alg, accessTokenTtlSeconds: 120 });
    const role = await registerRole(server, ledger, ['read', 'write']);
    const visitor = await registerVisitor(server, { roles: [role] });
    const asked = await ask(server, visitor, { resource: ledger.identifier, scope: 'openid read' });
    const tokens = await tokensOf(await redeemFor(server, visitor.application, asked, ledger.identifier));
    const { payload, protectedHeader } = await jwtVerify(
      tokens.access_token,
      createRemoteJWKSet(new URL(`${server.issuer}/oauth/jwks`)),
      { issuer: server.issuer, audience: ledger.identifier, typ: 'at+jwt', algorithms: [alg] },
    );
    expect(protectedHeader).toEqual({ alg, typ: 'at+jwt', kid: expect.any(String) });
    expect(payload).toEqual({
      iss: server.issuer,
      sub: visitor.credentials.account.sub,
      aud: ledger.identifier,
      exp: Number(payload.iat) + 120,
      iat: expect.any(Number),
      jti: expect.any(String),
      client_id: visitor.application.clientId,
      scope: 'read',
      permissions: ['read'],
      roles: [role],
      auth_time: expect.any(Number),
      acr: 'aal1',
      amr: ['pwd'],
      gth: expect.any(String),
    });
    expect([tokens.scope, tokens.expires_in, tokens.token_type]).toEqual(['read', 120, 'Bearer']);
    expect((await userinfo(tokens.access_token)).status).toBe(401);
  });

  it('are opaque where the API wants that, and tell the same at introspection', async () => {
    const vault = await registerApi(server, { accessTokenFormat: 'opaque' });
    const role = await registerRole(server, vault, ['read']);
    const visitor = await registerVisitor(server, { roles: [role] });
    const asked = await ask(server, visitor, { resource: vault.identifier, scope: 'openid read' });
    const tokens = await tokensOf(await redeemFor(server, visitor.application, asked, vault.identifier));
    expect(tokens.access_token).toMatch(/^at_/);
    const told = await introspect(server, vault.standing, tokens.access_token);
    expect(told).toEqual({
      active: true,
      iss: server.issuer,
      sub: visitor.credentials.account.sub,
      aud: vault.identifier,
      exp: expect.any(Number),
      iat: expect.any(Number),
      client_id: visitor.application.clientId,
      scope: 'read',
      permissions: ['read'],
      roles: [role],
      auth_time: expect.any(Number),
      acr: 'aal1',
      amr: ['pwd'],
      token_type: 'Bearer',
    });
    expect((await userinfo(tokens.access_token)).status).toBe(403);
  });

  it('hold what was asked for as far as the roles permit it, and only the roles that matter there', async () => {
    const ledger = await registerApi(server);
    const [clerk, idle] = [
      await registerRole(server, ledger, ['read', 'audit']),
      await registerRole(server, await registerApi(server), ['read']),
    ];
    const visitor = await registerVisitor(server, { roles: [clerk, idle] });
    const asked = await ask(server, visitor, { resource: ledger.identifier, scope: 'openid read write' });
    const tokens = await tokensOf(await redeemFor(server, visitor.application, asked, ledger.identifier));
    expect(tokens.scope).toBe('read');
    expect(decodeJwt(tokens.access_token)).toMatchObject({ permissions: ['read'], roles: [clerk] });
  });

  it('are for one API each, of several under one grant; without a name, for userinfo', async () => {
    const [ledger, vault] = [
      await registerApi(server),
      await registerApi(server, { accessTokenFormat: 'opaque' }),
    ];
    const roles = [
      await registerRole(server, ledger, ['read']),
      await registerRole(server, vault, ['audit']),
    ];
    const visitor = await registerVisitor(server, { roles });
    const { application } = visitor;
    const asked = await ask(server, visitor, {
      resource: [ledger.identifier, vault.identifier],
      scope: 'openid offline_access read audit',
    });
    const first = await tokensOf(await redeemFor(server, application, asked, ledger.identifier));
    expect([decodeJwt(first.access_token).aud, first.scope]).toEqual([ledger.identifier, 'read']);
    const second = await tokensOf(
      await refreshFor(server, application, first.refresh_token!, { resource: vault.identifier }),
    );
    expect(await introspect(server, vault.standing, second.access_token)).toMatchObject({
      active: true,
      aud: vault.identifier,
      scope: 'audit',
    });
    const third = await tokensOf(await refreshFor(server, application, second.refresh_token!));
    expect(third.access_token).toMatch(/^at_/);
    expect((await userinfo(third.access_token)).status).toBe(200);
    expect(await introspect(server, vault.standing, third.access_token)).toEqual({ active: false });
  });

  it('follow the roles at each refresh, and cost no refresh token where nothing is left', async () => {
    const ledger = await registerApi(server);
    const roles = [
      await registerRole(server, ledger, ['read']),
      await registerRole(server, ledger, ['write']),
    ];
    const visitor = await registerVisitor(server, { roles });
    const { application, credentials } = visitor;
    const { rbac } = server.subjects;
    const resource = ledger.identifier;
    const asked = await ask(server, visitor, { resource, scope: 'openid offline_access read write' });
    const first = await tokensOf(await redeemFor(server, application, asked, resource));
    expect(first.scope).toBe('read write');

    await rbac.revokeRole(credentials.account.id, roles[1]!, OPERATOR);
    const second = await tokensOf(await refreshFor(server, application, first.refresh_token!, { resource }));
    expect([second.scope, decodeJwt(second.access_token)['roles']]).toEqual(['read', [roles[0]]]);

    await rbac.revokeRole(credentials.account.id, roles[0]!, OPERATOR);
    const refused = await refreshFor(server, application, second.refresh_token!, { resource });
    expect(await refusalOf(refused)).toEqual([400, 'invalid_scope']);

    await rbac.grantRole(credentials.account.id, roles[1]!, OPERATOR);
    const third = await tokensOf(await refreshFor(server, application, second.refresh_token!, { resource }));
    expect(third.scope).toBe('write');
  });

  it('are never taken for an answer about another API, and asking for two at once revokes nothing', async () => {
    const [ledger, vault] = [await registerApi(server), await registerApi(server)];
    const roles = [
      await registerRole(server, ledger, ['read']),
      await registerRole(server, vault, ['audit']),
    ];
    const visitor = await registerVisitor(server, { roles });
    const { application } = visitor;
    const asked = await ask(server, visitor, {
      resource: [ledger.identifier, vault.identifier],
      scope: 'openid offline_access read audit',
    });
    const first = await tokensOf(await redeemFor(server, application, asked));
    const refreshTo = (resource: string): Promise<Response> =>
      refreshFor(server, application, first.refresh_token!, { resource });
    const given = await tokensOf(await refreshTo(ledger.identifier));
    expect(await tokensOf(await refreshTo(ledger.identifier))).toEqual(given);
    expect(await refusalOf(await refreshTo(vault.identifier))).toEqual([400, 'invalid_grant']);
    const next = await tokensOf(
      await refreshFor(server, application, given.refresh_token!, { resource: vault.identifier }),
    );
    expect(decodeJwt(next.access_token).aud).toBe(vault.identifier);
  });

  it('give a machine what it asks for of its own, all of it where it does not say', async () => {
    const ledger = await registerApi(server);
    const machine = await registerMachine(server);
    const resource = ledger.identifier;
    await server.subjects.apis.permitClient(
      { clientId: machine.clientId, api: resource, permissions: ['write', 'audit'] },
      OPERATOR,
    );
    const all = await tokensOf(await machineToken(server, machine, { resource }));
    expect(all.scope).toBe('audit write');
    expect(decodeJwt(all.access_token)).toEqual({
      iss: server.issuer,
      sub: machine.clientId,
      client_id: machine.clientId,
      aud: resource,
      exp: expect.any(Number),
      iat: expect.any(Number),
      jti: expect.any(String),
      scope: 'audit write',
      permissions: ['audit', 'write'],
    });
    expect(decodeProtectedHeader(all.access_token)).toMatchObject({ typ: 'at+jwt' });
    const narrowed = await tokensOf(await machineToken(server, machine, { resource, scope: 'write read' }));
    expect(narrowed.scope).toBe('write');
    const refused = await machineToken(server, machine, { resource, scope: 'read' });
    expect(await refusalOf(refused)).toEqual([400, 'invalid_scope']);
    const stranger = await registerMachine(server);
    expect(await refusalOf(await machineToken(server, stranger, { resource }))).toEqual([
      400,
      'invalid_scope',
    ]);
    expect(await introspect(server, ledger.standing, all.access_token)).toMatchObject({
      active: true,
      sub: machine.clientId,
      permissions: ['audit', 'write'],
    });
  });

  it('never outlast the shortest life that API and client allow', async () => {
    const ledger = await registerApi(server, { accessTokenTtlSeconds: 300 });
    const role = await registerRole(server, ledger, ['read']);
    const application = await registerApplication(server, { accessTokenTtlSeconds: 60 });
    const visitor = await registerVisitor(server, { roles: [role], application });
    const asked = await ask(server, visitor, { resource: ledger.identifier, scope: 'openid read' });
    const tokens = await tokensOf(await redeemFor(server, application, asked, ledger.identifier));
    expect(tokens.expires_in).toBe(60);
  });

  it('end with the session where the API gives no access while the person is away', async () => {
    const ledger = await registerApi(server, { allowOfflineAccess: false });
    const role = await registerRole(server, ledger, ['read']);
    const visitor = await registerVisitor(server, { roles: [role] });
    const asked = await ask(server, visitor, {
      resource: ledger.identifier,
      scope: 'openid offline_access read',
    });
    const tokens = await tokensOf(await redeemFor(server, visitor.application, asked, ledger.identifier));
    expect(tokens.refresh_token).toBeDefined();
    expect(await introspect(server, visitor.application, tokens.refresh_token!)).toMatchObject({
      active: true,
      scope: 'openid read',
    });
  });

  it('are no longer given to somebody away once the API takes that back', async () => {
    const ledger = await registerApi(server);
    const role = await registerRole(server, ledger, ['read']);
    const visitor = await registerVisitor(server, { roles: [role] });
    const resource = ledger.identifier;
    const asked = await ask(server, visitor, { resource, scope: 'openid offline_access read' });
    const tokens = await tokensOf(await redeemFor(server, visitor.application, asked, resource));
    await server.subjects.apis.update(resource, { allowOfflineAccess: false }, OPERATOR);
    const refused = await refreshFor(server, visitor.application, tokens.refresh_token!, { resource });
    expect(await refusalOf(refused)).toEqual([400, 'invalid_target']);
    // For userinfo it is as good as before.
    await tokensOf(await refreshFor(server, visitor.application, tokens.refresh_token!));
  });

  it('are not given for an API that took the name of the one that the person was asked about', async () => {
    const former = await registerApi(server);
    const visitor = await registerVisitor(server, { roles: [await registerRole(server, former, ['read'])] });
    const { identifier: resource } = former;
    const asked = await ask(server, visitor, { resource, scope: 'openid offline_access read' });
    const tokens = await tokensOf(await redeemFor(server, visitor.application, asked, resource));
    await server.subjects.apis.delete(resource, OPERATOR);
    // Times are whole seconds.
    await new Promise((resolve) => setTimeout(resolve, 1_050));
    const namesake = await registerApi(server, { identifier: resource });
    const { account } = visitor.credentials;
    await server.subjects.rbac.grantRole(
      account.id,
      await registerRole(server, namesake, ['read']),
      OPERATOR,
    );
    const refused = await refreshFor(server, visitor.application, tokens.refresh_token!, { resource });
    expect(await refusalOf(refused)).toEqual([400, 'invalid_target']);
    expect(await recordedOf(server, refused)).toMatchObject([
      { type: 'token.refused', payload: { reason: expect.stringContaining('is gone') } },
    ]);
    // It was not spent, and is for the person's own claims as before.
    await tokensOf(await refreshFor(server, visitor.application, tokens.refresh_token!));
  });

  it('leave a record with the API, what was given and the fingerprint of the whole JWT', async () => {
    const ledger = await registerApi(server);
    const role = await registerRole(server, ledger, ['read']);
    const visitor = await registerVisitor(server, { roles: [role] });
    const asked = await ask(server, visitor, { resource: ledger.identifier, scope: 'openid read' });
    const response = await redeemFor(server, visitor.application, asked, ledger.identifier);
    const tokens = await tokensOf(response.clone());
    const events = await recordedOf(server, response);
    const fingerprint = server.subjects.audit.fingerprint(tokens.access_token);
    expect(events).toEqual([
      expect.objectContaining({
        type: 'token.issued',
        payload: expect.objectContaining({
          scope: 'read',
          resource: [ledger.identifier],
          issued: expect.arrayContaining([expect.objectContaining({ kind: 'access_token', fingerprint })]),
        }),
      }),
    ]);
    expect(JSON.stringify(events)).not.toContain(tokens.access_token.split('.')[2]);
  });

  it('cost no code where they cannot be given', async () => {
    const [ledger, other] = [await registerApi(server), await registerApi(server)];
    const role = await registerRole(server, ledger, ['read']);
    const visitor = await registerVisitor(server, { roles: [role] });
    const asked = await ask(server, visitor, { resource: ledger.identifier, scope: 'openid read' });
    expect(codeOf(asked.visited)).toBeDefined();
    const wrong = await redeemFor(server, visitor.application, asked, other.identifier);
    expect(await refusalOf(wrong)).toEqual([400, 'invalid_target']);
    await tokensOf(await redeemFor(server, visitor.application, asked, ledger.identifier));
  });
});
