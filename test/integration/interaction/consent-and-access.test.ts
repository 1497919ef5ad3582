/** Who is let in, what is asked of them, and what the application is told. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  authorizationRequest,
  codeOf,
  OPERATOR,
  redeem,
  registerApplication,
  registerPerson,
  type Application,
} from '../../support/application.ts';
import { buildRole } from '../../support/factories/role.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person, type Visited } from '../../support/person.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startGatehouse();
});
afterAll(() => server.stop());

type Who = Awaited<ReturnType<typeof registerPerson>>;

async function signIn(
  client: Application,
  {
    who,
    person = createPerson(server.issuer),
    ...parameters
  }: { who?: Who; person?: Person; scope?: string; prompt?: string } = {},
) {
  const someone = who ?? (await registerPerson(server));
  const request = authorizationRequest(server, client, { scope: 'openid', ...parameters });
  let page = await person.open(request.url);
  if (page.html.includes('name="password"')) {
    page = await person.submit(page, { identifier: someone.email, password: someone.password }, '/login');
  }
  return { who: someone, person, request, page };
}

const isConsent = ({ html }: Visited): boolean => html.includes('/consent?');

describe('consent', () => {
  const register = (consent: 'always' | 'once' | 'never', name = 'Ledger'): Promise<Application> =>
    registerApplication(server, {
      name,
      consent,
      firstParty: consent === 'never',
      redirectUris: ['https://ledger.example/callback'],
    });

  it('names the application, what it will see, and whose account it is', async () => {
    const role = await buildRole({ db: server.database.db, name: `keeper-${Date.now()}` });
    const who = await registerPerson(server);
    await server.subjects.rbac.grantRole(who.account.id, role.name, OPERATOR);
    const { page } = await signIn(await register('always', 'Ledger & <Sons>'), {
      who,
      scope: 'openid profile email roles offline_access',
      prompt: 'consent',
    });
    expect(page.html).toContain('Ledger &amp; &lt;Sons&gt;');
    for (const word of ['ledger.example', who.email, 'Ada', role.name, 'Stay connected']) {
      expect(page.html).toContain(word);
    }
    const decisions = [...page.html.matchAll(/name="decision" value="(\w+)"/g)].map(([, value]) => value);
    expect(decisions).toEqual(['allow', 'deny']);
  });

  it('is asked each time where the client says always', async () => {
    const client = await register('always');
    const { who, person, page } = await signIn(client);
    expect((await person.submit(page, { decision: 'allow' }, '/consent')).isAway).toBe(true);
    const again = await signIn(client, { who, person });
    expect(isConsent(again.page)).toBe(true);
    const silent = await person.open(authorizationRequest(server, client, { prompt: 'none' }).url);
    expect(silent.url.searchParams.get('error')).toBe('consent_required');
  });

  it('is asked once where the client says once, in whatever browser, and again for more', async () => {
    const client = await register('once');
    const { who, person, page } = await signIn(client);
    const given = await person.submit(page, { decision: 'allow' }, '/consent');
    expect(given.url.searchParams.has('code')).toBe(true);
    expect((await signIn(client, { who, person })).page.isAway).toBe(true);
    expect((await signIn(client, { who })).page.isAway).toBe(true);
    const more = await signIn(client, { who, person, scope: 'openid email' });
    expect(isConsent(more.page)).toBe(true);
    expect((await person.submit(more.page, { decision: 'allow' }, '/consent')).isAway).toBe(true);
    expect((await signIn(client, { who, person, scope: 'openid email' })).page.isAway).toBe(true);
    const anew = await signIn(client, { who, person, prompt: 'consent' });
    expect(isConsent(anew.page)).toBe(true);
  });

  it('is not asked where the operator vouches for the client, unless the request wants it', async () => {
    const client = await register('never');
    const { who, person, page } = await signIn(client, {
      scope: 'openid profile email roles offline_access',
    });
    expect(page.url.searchParams.has('code')).toBe(true);
    const asked = await signIn(client, { who, person, prompt: 'consent' });
    expect(isConsent(asked.page)).toBe(true);
    expect((await person.submit(asked.page, { decision: 'allow' }, '/consent')).isAway).toBe(true);
  });

  it('can be declined, which the application is told, and nothing is remembered', async () => {
    const client = await register('once');
    const { who, person, request, page } = await signIn(client);
    const visited = await person.submit(page, { decision: 'deny' }, '/consent');
    expect(Object.fromEntries(visited.url.searchParams)).toMatchObject({
      error: 'access_denied',
      state: request.state,
      iss: server.issuer,
    });
    expect(isConsent((await signIn(client, { who, person })).page)).toBe(true);
    const { events } = await server.subjects.audit.list({ clientId: client.clientId });
    const types = events.map(({ type }) => type);
    expect(types).toContain('consent.declined');
    expect(types).toContain('authorization.failed');
    expect(types).not.toContain('authorization.succeeded');
  });

  it.each([['maybe'], ['']])('takes "%s" for no answer', async (decision) => {
    const { person, page } = await signIn(await register('always'));
    const visited = await person.submit(page, { decision }, '/consent');
    expect([visited.status, visited.isAway]).toEqual([400, false]);
    expect((await person.submit(page, { decision: 'allow' }, '/consent')).isAway).toBe(true);
  });

  it('given by one person is not another’s in the same browser', async () => {
    const client = await register('once');
    const { person, page } = await signIn(client);
    await person.submit(page, { decision: 'allow' }, '/consent');
    const other = await registerPerson(server);
    const login = await person.open(authorizationRequest(server, client, { prompt: 'login' }).url);
    const between = await person.submit(
      login,
      { identifier: other.email, password: other.password },
      '/login',
    );
    const asked = await person.submit(between, {}, '/logout/confirm');
    expect(isConsent(asked)).toBe(true);
    expect(asked.html).toContain(other.email);
  });
});

describe('offline_access', () => {
  const refreshTokenFor = async (client: Application, prompt?: string): Promise<string | undefined> => {
    const scope = 'openid offline_access';
    const { person, request, page } = await signIn(client, {
      scope,
      ...(prompt === undefined ? {} : { prompt }),
    });
    const visited = isConsent(page) ? await person.submit(page, { decision: 'allow' }, '/consent') : page;
    const response = await redeem(server, client, { code: codeOf(visited), verifier: request.verifier });
    const tokens = (await response.json()) as { scope: string; refresh_token?: string };
    return tokens.scope.includes('offline_access') ? tokens.refresh_token : undefined;
  };

  it('needs no question for a first-party client (OIDC Core §11)', async () => {
    expect(await refreshTokenFor(await registerApplication(server))).toMatch(/^rt_/);
  });

  it('needs prompt=consent for anybody else', async () => {
    const client = await registerApplication(server, { firstParty: false, consent: 'once' });
    expect(await refreshTokenFor(client)).toBeUndefined();
    expect(await refreshTokenFor(client, 'consent')).toMatch(/^rt_/);
  });
});

describe('a role that the client requires', () => {
  async function guarded() {
    const role = await buildRole({ db: server.database.db });
    const client = await registerApplication(server, { name: 'Vault', requireRole: role.name });
    return { role, client };
  }

  it('lets in who has it', async () => {
    const { role, client } = await guarded();
    const who = await registerPerson(server);
    await server.subjects.rbac.grantRole(who.account.id, role.name, OPERATOR);
    expect((await signIn(client, { who })).page.url.searchParams.has('code')).toBe(true);
  });

  it('tells whoever lacks it, and then the application', async () => {
    const { role, client } = await guarded();
    const { who, person, request, page } = await signIn(client);
    expect(page.status).toBe(403);
    for (const word of ['Vault', role.name, who.email]) expect(page.html).toContain(word);
    // Whoever closes the page now was turned away all the same.
    const recorded = await server.subjects.audit.list({ clientId: client.clientId, types: ['access'] });
    expect(recorded.events).toMatchObject([
      {
        type: 'access.denied',
        account_id: who.account.id,
        payload: { reason: 'role_missing', required_role: role.name },
      },
    ]);
    const visited = await person.submit(page, {}, '/access');
    expect(Object.fromEntries(visited.url.searchParams)).toMatchObject({
      error: 'access_denied',
      state: request.state,
      iss: server.issuer,
    });
    const { events } = await server.subjects.audit.list({
      clientId: client.clientId,
      types: ['access', 'authorization'],
    });
    expect(events.map(({ type }) => type).toSorted()).toEqual(['access.denied', 'authorization.failed']);
  });

  it('is told as access_denied where nobody may be asked', async () => {
    const { client } = await guarded();
    const { person } = await signIn(client);
    const visited = await person.open(authorizationRequest(server, client, { prompt: 'none' }).url);
    expect(visited.url.searchParams.get('error')).toBe('access_denied');
  });

  it('lets another person sign in instead, on the same pass', async () => {
    const { role, client } = await guarded();
    const { person, request, page } = await signIn(client);
    const other = await registerPerson(server);
    await server.subjects.rbac.grantRole(other.account.id, role.name, OPERATOR);
    const login = await person.submit(page, {}, '/switch');
    expect(login.html).toContain('another account');
    const between = await person.submit(
      login,
      { identifier: other.email, password: other.password },
      '/login',
    );
    const visited = await person.submit(between, {}, '/logout/confirm');
    const response = await redeem(server, client, { code: codeOf(visited), verifier: request.verifier });
    expect(response.status).toBe(200);
  });

  it('counts at once when it is granted meanwhile, and when it is taken away', async () => {
    const { role, client } = await guarded();
    const { who, person, page } = await signIn(client);
    expect(page.status).toBe(403);
    await server.subjects.rbac.grantRole(who.account.id, role.name, OPERATOR);
    expect((await signIn(client, { who, person })).page.isAway).toBe(true);
    await server.subjects.rbac.revokeRole(who.account.id, role.name, OPERATOR);
    expect((await signIn(client, { who, person })).page.status).toBe(403);
  });
});
