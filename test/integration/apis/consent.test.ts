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
  type Asked,
  type RegisteredApi,
  type Visitor,
} from '../../support/apis.ts';
import {
  authorizationRequest,
  OPERATOR,
  registerApplication,
  type Application,
} from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startGatehouse();
});
afterAll(() => server.stop());

const thirdParty = (): Promise<Application> =>
  registerApplication(server, { firstParty: false, consent: 'once' });

describe('the consent page', () => {
  it('tells what may be done at each API, and only what the person may do', async () => {
    const [ledger, vault] = [
      await registerApi(server, { name: 'Ledger & Sons' }),
      await registerApi(server, { name: 'Vault' }),
    ];
    const roles = [
      await registerRole(server, ledger, ['read']),
      await registerRole(server, vault, ['audit']),
    ];
    const application = await thirdParty();
    const visitor = await registerVisitor(server, { roles, application });
    const { visited } = await ask(server, visitor, {
      resource: [ledger.identifier, vault.identifier],
      scope: 'openid read write audit',
    });
    expect(visited.isAway).toBe(false);
    expect(visited.html).toContain('Ledger &amp; Sons');
    expect(visited.html).toContain('See your invoices');
    expect(visited.html).toContain('Vault');
    expect(visited.html).toContain('See who did what');
    expect(visited.html).not.toContain('Change your invoices');
  });

  it('is remembered for what it showed, in every browser, and asks again for more', async () => {
    const ledger = await registerApi(server);
    const role = await registerRole(server, ledger, ['read', 'write']);
    const application = await thirdParty();
    const visitor = await registerVisitor(server, { roles: [role], application });
    const resource = ledger.identifier;
    const asked = await ask(server, visitor, { resource, scope: 'openid read' });
    const visited = await visitor.person.submit(asked.visited, { decision: 'allow' }, '/consent');
    const tokens = await tokensOf(await redeemFor(server, application, { ...asked, visited }, resource));
    expect(tokens.scope).toBe('read');

    const elsewhere = { ...visitor, person: createPerson(server.issuer) };
    const again = await ask(server, elsewhere, { resource, scope: 'openid read' });
    expect(again.visited.isAway).toBe(true);
    const more = await ask(server, elsewhere, { resource, scope: 'openid read write' });
    expect(more.visited.isAway).toBe(false);
    expect(more.visited.html).toContain('Change your invoices');
  });

  it('is not taken for what was removed meanwhile, nor for what came under the same name', async () => {
    const ledger = await registerApi(server);
    const role = await registerRole(server, ledger, ['read', 'write']);
    const application = await thirdParty();
    const visitor = await registerVisitor(server, { roles: [role], application });
    const resource = ledger.identifier;
    const { apis, rbac } = server.subjects;
    const asked = await ask(server, visitor, { resource, scope: 'openid read write' });
    await apis.removePermission(resource, 'write', OPERATOR);
    const visited = await visitor.person.submit(asked.visited, { decision: 'allow' }, '/consent');
    const tokens = await tokensOf(await redeemFor(server, application, { ...asked, visited }, resource));
    expect(tokens.scope).toBe('read');

    await apis.setPermission(resource, { name: 'write', description: 'Delete your invoices' }, OPERATOR);
    await rbac.permit({ role, api: resource, permissions: ['write'] }, OPERATOR);
    const elsewhere = { ...visitor, person: createPerson(server.issuer) };
    const again = await ask(server, elsewhere, { resource, scope: 'openid read write' });
    expect(again.visited.isAway).toBe(false);
    expect(again.visited.html).toContain('Delete your invoices');
  });

  describe('where another API has the name of a former one', () => {
    /** Times are whole seconds. */
    const replace = async ({ identifier }: RegisteredApi, { credentials }: Visitor): Promise<void> => {
      await server.subjects.apis.delete(identifier, OPERATOR);
      await new Promise((resolve) => setTimeout(resolve, 1_050));
      const namesake = await registerApi(server, { identifier, name: 'Namesake' });
      const role = await registerRole(server, namesake, ['read', 'write']);
      await server.subjects.rbac.grantRole(credentials.account.id, role, OPERATOR);
    };
    const begin = async (
      consent: 'once' | 'never',
    ): Promise<{ ledger: RegisteredApi; resource: string; visitor: Visitor }> => {
      const ledger = await registerApi(server);
      const role = await registerRole(server, ledger, ['read', 'write']);
      const application = await registerApplication(server, {
        firstParty: consent === 'never',
        consent,
      });
      const visitor = await registerVisitor(server, { roles: [role], application });
      return { ledger, resource: ledger.identifier, visitor };
    };
    const allow = async ({ person }: Visitor, asked: Asked): Promise<Asked> => ({
      ...asked,
      visited: await person.submit(asked.visited, { decision: 'allow' }, '/consent'),
    });

    it('asks in the same session about that one, and each thing there', async () => {
      const { ledger, resource, visitor } = await begin('once');
      const former = await allow(
        visitor,
        await ask(server, visitor, { resource, scope: 'openid read write' }),
      );
      expect(former.visited.isAway).toBe(true);
      await replace(ledger, visitor);

      const asked = await ask(server, visitor, { resource, scope: 'openid read' });
      expect(asked.visited.isAway).toBe(false);
      expect(asked.visited.html).toContain('Namesake');
      const allowed = await allow(visitor, asked);
      const redeemed = await redeemFor(server, visitor.application, allowed, resource);
      expect((await tokensOf(redeemed)).scope).toBe('read');

      const again = await ask(server, visitor, { resource, scope: 'openid read' });
      expect(again.visited.isAway).toBe(true);
      await tokensOf(await redeemFor(server, visitor.application, again, resource));
      const more = await ask(server, visitor, { resource, scope: 'openid read write' });
      expect(more.visited.isAway).toBe(false);
      const all = await redeemFor(server, visitor.application, await allow(visitor, more), resource);
      expect((await tokensOf(all)).scope).toBe('read write');
    });

    it('asks nobody where the operator vouches for the client', async () => {
      const { ledger, resource, visitor } = await begin('never');
      await ask(server, visitor, { resource, scope: 'openid read' });
      await replace(ledger, visitor);
      const asked = await ask(server, visitor, { resource, scope: 'openid read' });
      const redeemed = await redeemFor(server, visitor.application, asked, resource);
      expect((await tokensOf(redeemed)).scope).toBe('read');
    });

    it('takes a yes to a page about the former one for no answer', async () => {
      const { ledger, resource, visitor } = await begin('once');
      const asked = await ask(server, visitor, { resource, scope: 'openid read' });
      await replace(ledger, visitor);
      const { visited } = await allow(visitor, asked);
      expect(visited.isAway).toBe(false);
      expect(visited.html).toContain('Namesake');
      const elsewhere = { ...visitor, person: createPerson(server.issuer) };
      expect((await ask(server, elsewhere, { resource, scope: 'openid read' })).visited.isAway).toBe(false);
    });

    it('asks in the same session about a permission that has the name of a former one', async () => {
      const { ledger, resource, visitor } = await begin('once');
      const { application, credentials } = visitor;
      const { apis, rbac } = server.subjects;
      const scope = 'openid offline_access read write';
      const former = await allow(visitor, await ask(server, visitor, { resource, scope }));
      const tokens = await tokensOf(await redeemFor(server, application, former, resource));
      expect(tokens.scope).toBe('read write');
      await apis.removePermission(resource, 'write', OPERATOR);
      await new Promise((resolve) => setTimeout(resolve, 1_050));
      await apis.setPermission(resource, { name: 'write', description: 'Delete your invoices' }, OPERATOR);
      const role = await registerRole(server, ledger, ['write']);
      await rbac.grantRole(credentials.account.id, role, OPERATOR);

      const refreshed = await refreshFor(server, application, tokens.refresh_token!, { resource });
      expect((await tokensOf(refreshed)).scope).toBe('read');
      const less = await ask(server, visitor, { resource, scope: 'openid read' });
      expect(less.visited.isAway).toBe(true);
      const asked = await ask(server, visitor, { resource, scope: 'openid read write' });
      expect(asked.visited.isAway).toBe(false);
      expect(asked.visited.html).toContain('Delete your invoices');
      const allowed = await allow(visitor, asked);
      const redeemed = await redeemFor(server, application, allowed, resource);
      expect((await tokensOf(redeemed)).scope).toBe('read write');
    });

    it('gives nothing by a refresh token that came of a code from before', async () => {
      const { ledger, resource, visitor } = await begin('once');
      const scope = 'openid offline_access read';
      const former = await allow(visitor, await ask(server, visitor, { resource, scope }));
      await replace(ledger, visitor);
      const tokens = await tokensOf(await redeemFor(server, visitor.application, former));
      const refused = await refreshFor(server, visitor.application, tokens.refresh_token!, { resource });
      expect(await refusalOf(refused)).toEqual([400, 'invalid_scope']);
    });
  });

  it('records what was allowed, by API', async () => {
    const ledger = await registerApi(server);
    const role = await registerRole(server, ledger, ['read']);
    const visitor = await registerVisitor(server, { roles: [role], application: await thirdParty() });
    const asked = await ask(server, visitor, { resource: ledger.identifier, scope: 'openid read' });
    await visitor.person.submit(asked.visited, { decision: 'allow' }, '/consent');
    const { events } = await server.subjects.audit.list({ types: ['consent.granted'] });
    expect(events.map(({ payload }) => payload)).toContainEqual({
      scope: 'openid',
      permissions: [`${ledger.identifier} read`],
      remembered: true,
    });
  });

  it('does not appear where the person may do nothing of what is asked, and nothing is given', async () => {
    const ledger = await registerApi(server);
    const visitor = await registerVisitor(server, { application: await thirdParty() });
    const { visited } = await ask(server, visitor, { resource: ledger.identifier, scope: 'read' });
    expect(visited.isAway).toBe(true);
    expect(visited.url.searchParams.get('error')).toBe('access_denied');
  });
});

it.each(['https://api.example/unknown', 'https://api.example/\0', `https://api.example/${'x'.repeat(3000)}`])(
  'an authorization request for what cannot be an API is refused, not failed: %j',
  async (resource) => {
    const application = await thirdParty();
    const request = authorizationRequest(server, application, { resource, scope: 'openid read' });
    const answer = await fetch(request.url, { redirect: 'manual' });
    const location = new URL(answer.headers.get('location') ?? '');
    expect(location.searchParams.get('error')).toBe('invalid_target');
  },
);
