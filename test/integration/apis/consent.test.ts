import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { ask, redeemFor, registerApi, registerRole, registerVisitor, tokensOf } from '../../support/apis.ts';
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
