/** Tokens in exchange for tokens (RFC 8693), asked for by a library of others: what is given, and what ends it. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import * as client from 'openid-client';

import { TOKEN_EXCHANGE } from '../../../src/clients/client.ts';
import { machineToken, refusalOf, registerApi, registerRole, tokensOf } from '../../support/apis.ts';
import { basicOf, introspect, OPERATOR, tokenRequest, type Tokens } from '../../support/application.ts';
import { withinASecond } from '../../support/eventually.ts';
import {
  ACCESS_TOKEN,
  configurationOf,
  exchangeOf,
  ID_TOKEN,
  setScene,
  signInAtFront,
  type Caller,
  type Scene,
} from '../../support/exchange.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { recordedOf } from '../../support/recorded.ts';
import { signOut } from '../../support/races/revocations.ts';

let server: TestServer;
let scene: Scene;
let caller: Caller;
beforeAll(async () => {
  server = await startGatehouse();
  scene = await setScene(server);
  caller = await signInAtFront(server, scene);
});
afterAll(() => server.stop());

const ask = (subjectToken: string, parameters: Record<string, string> = {}): Promise<Response> =>
  tokenRequest(server, scene.service, {
    ...exchangeOf(subjectToken, scene.vault.identifier),
    ...parameters,
  });
const actorToken = async (): Promise<string> =>
  (
    await tokensOf(
      await machineToken(server, scene.service, { resource: scene.vault.identifier, scope: 'read' }),
    )
  ).access_token;
const delegated = async (subjectToken: string, parameters: Record<string, string> = {}): Promise<Response> =>
  ask(subjectToken, { actor_token: await actorToken(), actor_token_type: ACCESS_TOKEN, ...parameters });

it('is announced', async () => {
  const response = await fetch(`${server.issuer}/.well-known/openid-configuration`);
  const { grant_types_supported: grants } = (await response.json()) as { grant_types_supported: string[] };
  expect(grants).toContain(TOKEN_EXCHANGE);
});

describe.each([
  ['jwt', 'jwt'],
  ['jwt', 'opaque'],
  ['opaque', 'jwt'],
  ['opaque', 'opaque'],
] as const)('a %s token for a %s one', (presented, given) => {
  it('is given to the service of the API, for the API behind it', async () => {
    const its = await setScene(server, {
      ledger: { accessTokenFormat: presented },
      vault: { accessTokenFormat: given },
    });
    const person = await signInAtFront(server, its);
    const configuration = await configurationOf(server, its.service);
    const answer = await client.genericGrantRequest(configuration, TOKEN_EXCHANGE, {
      subject_token: person.tokens.access_token,
      subject_token_type: ACCESS_TOKEN,
      resource: its.vault.identifier,
    });
    expect(answer).toMatchObject({ token_type: 'bearer', issued_token_type: ACCESS_TOKEN, scope: 'read' });
    expect(answer.refresh_token).toBeUndefined();
    const told = {
      sub: person.credentials.account.sub,
      client_id: its.service.clientId,
      aud: its.vault.identifier,
      scope: 'read',
      permissions: ['read'],
      acr: 'aal1',
      auth_time: expect.any(Number),
    };
    if (given === 'jwt') expect(decodeJwt(answer.access_token)).toMatchObject(told);
    const seen = await introspect(server, its.vault.standing, answer.access_token);
    expect(seen).toMatchObject({ active: true, ...told });
    expect(seen).not.toHaveProperty('act');
    expect(Number(seen['exp'])).toBeLessThanOrEqual(
      Number((await introspect(server, its.service, person.tokens.access_token))['exp']),
    );
  });
});

describe('delegation', () => {
  it('names who acts, in the token, at introspection and in the record', async () => {
    const response = await delegated(caller.tokens.access_token);
    const act = { sub: scene.service.clientId };
    expect(await recordedOf(server, response)).toMatchObject([
      {
        type: 'token.issued',
        account_id: caller.credentials.account.id,
        client_id: scene.service.clientId,
        payload: {
          grant_type: TOKEN_EXCHANGE,
          resource: [scene.vault.identifier],
          exchange: {
            mode: 'delegation',
            subject_client: scene.front.clientId,
            subject_token: expect.any(String),
            actor: scene.service.clientId,
          },
        },
      },
    ]);
    const { access_token: token } = await tokensOf(response);
    expect(decodeJwt(token)['act']).toEqual(act);
    expect(await introspect(server, scene.vault.standing, token)).toMatchObject({ active: true, act });
  });

  it('names those before within, forgets none of them where one impersonates, and goes so far only', async () => {
    let { access_token: token } = await tokensOf(await delegated(caller.tokens.access_token));
    const acts = [decodeJwt(token)['act']];
    for (let turn = 0; turn < 3; turn += 1) {
      ({ access_token: token } = await tokensOf(await delegated(token)));
      acts.push(decodeJwt(token)['act']);
    }
    expect(JSON.stringify(acts.at(-1))?.match(/"sub"/g)).toHaveLength(4);
    expect(acts.at(-1)).toEqual({ sub: scene.service.clientId, act: acts.at(-2) });
    const impersonated = await tokensOf(await ask(token));
    expect(decodeJwt(impersonated.access_token)['act']).toEqual(acts.at(-1));
    expect(await refusalOf(await delegated(token))).toEqual([400, 'invalid_request']);
  });
});

describe('what it reaches', () => {
  it.each<[string, Record<string, string>, string]>([
    ['all that the service and the person may, where none is named', {}, 'read'],
    ['what is named', { scope: 'read' }, 'read'],
  ])('is %s', async (_name, parameters, scope) => {
    expect(await tokensOf(await ask(caller.tokens.access_token, parameters))).toMatchObject({ scope });
  });

  it.each<[string, Record<string, string>]>([
    ['what the person may not', { scope: 'write' }],
    ['what the service may not', { scope: 'audit' }],
    ['more than both may', { scope: 'read write' }],
    ['a scope that is no permission', { scope: 'read openid' }],
  ])('is never %s', async (_name, parameters) => {
    expect(await refusalOf(await ask(caller.tokens.access_token, parameters))).toEqual([
      400,
      'invalid_scope',
    ]);
  });

  it('is at the same API never more than the token reached', async () => {
    const same = { audience: scene.ledger.identifier };
    expect(await tokensOf(await ask(caller.tokens.access_token, same))).toMatchObject({ scope: 'read' });
    expect(await refusalOf(await ask(caller.tokens.access_token, { ...same, scope: 'write' }))).toEqual([
      400,
      'invalid_scope',
    ]);
  });
});

describe('an ID token', () => {
  const own = async () => {
    const front = await server.subjects.clients.update(
      scene.front.clientId,
      {
        grantTypes: ['authorization_code', 'refresh_token', TOKEN_EXCHANGE],
        tokenExchangeAudiences: [scene.ledger.identifier],
        tokenExchangeModes: ['impersonation'],
      },
      OPERATOR,
    );
    await server.subjects.apis.permitClient(
      { clientId: front.clientId, api: scene.ledger.identifier, permissions: ['read'] },
      OPERATOR,
    );
    return signInAtFront(server, scene);
  };
  const exchange = (idToken: string, application = scene.front): Promise<Response> =>
    tokenRequest(server, application, {
      ...exchangeOf(idToken, scene.ledger.identifier),
      subject_token_type: ID_TOKEN,
    });

  it('of the client itself is exchanged, and what it gives ends with the session', async () => {
    const person = await own();
    const { access_token: token } = await tokensOf(await exchange(person.tokens.id_token!));
    expect(await introspect(server, scene.service, token)).toMatchObject({
      active: true,
      sub: person.credentials.account.sub,
      client_id: scene.front.clientId,
    });
    await signOut(person.person, server);
    await expectEnded(token, scene.service);
    expect(await refusalOf(await exchange(person.tokens.id_token!))).toEqual([400, 'invalid_request']);
  });

  it('is refused from another client, altered, or where it is none', async () => {
    const { tokens } = await own();
    const idToken = tokens.id_token!;
    expect(await refusalOf(await exchange(idToken, scene.service))).toEqual([400, 'invalid_request']);
    expect(await refusalOf(await exchange(`${idToken.slice(0, -4)}AAAA`))).toEqual([400, 'invalid_request']);
    expect(await refusalOf(await exchange(tokens.access_token))).toEqual([400, 'invalid_request']);
    // From before the client could exchange anything, it does not tell what it stands on.
    expect(await refusalOf(await exchange(caller.tokens.id_token!))).toEqual([400, 'invalid_request']);
  });
});

describe('what ends it within a second', () => {
  const issued = async (): Promise<{ person: Caller; tokens: Tokens }> => {
    const person = await signInAtFront(server, scene);
    return { person, tokens: await tokensOf(await delegated(person.tokens.access_token)) };
  };
  const revoke = (person: Caller, token = ''): Promise<Response> =>
    fetch(`${server.issuer}/oauth/revoke`, {
      method: 'POST',
      headers: { authorization: basicOf(person.application) },
      body: new URLSearchParams({ token }),
    });

  it.each<[string, (person: Caller) => Promise<unknown>]>([
    ['the person signs out', ({ person }) => signOut(person, server)],
    [
      'the account is disabled',
      ({ credentials }) => server.subjects.accounts.disable(credentials.account.id, OPERATOR),
    ],
    ['the refresh token of the sign-in is revoked', (person) => revoke(person, person.tokens.refresh_token)],
    ['the token that was presented is revoked', (person) => revoke(person, person.tokens.access_token)],
  ])('%s', async (_name, end) => {
    const { person, tokens } = await issued();
    const other = await issued();
    expect(await introspect(server, scene.vault.standing, tokens.access_token)).toMatchObject({
      active: true,
    });
    await end(person);
    await expectEnded(tokens.access_token, scene.vault.standing);
    expect(await refusalOf(await ask(person.tokens.access_token))).toEqual([400, 'invalid_request']);
    expect(await introspect(server, scene.vault.standing, other.tokens.access_token)).toMatchObject({
      active: true,
    });
  });

  it('the token that showed who acts is revoked', async () => {
    const actor = await actorToken();
    const { access_token: token } = await tokensOf(
      await ask(caller.tokens.access_token, { actor_token: actor, actor_token_type: ACCESS_TOKEN }),
    );
    await fetch(`${server.issuer}/oauth/revoke`, {
      method: 'POST',
      headers: { authorization: basicOf(scene.service) },
      body: new URLSearchParams({ token: actor }),
    });
    await expectEnded(token, scene.vault.standing);
  });

  it('it is revoked itself, by the client that got it', async () => {
    const { tokens } = await issued();
    await fetch(`${server.issuer}/oauth/revoke`, {
      method: 'POST',
      headers: { authorization: basicOf(scene.service) },
      body: new URLSearchParams({ token: tokens.access_token }),
    });
    await expectEnded(tokens.access_token, scene.vault.standing);
  });

  it('the application that the person signed in to is deleted', async () => {
    const its = await setScene(server, { vault: { accessTokenFormat: 'opaque' } });
    const person = await signInAtFront(server, its);
    const { access_token: token } = await tokensOf(
      await tokenRequest(server, its.service, exchangeOf(person.tokens.access_token, its.vault.identifier)),
    );
    await server.subjects.clients.delete(its.front.clientId, OPERATOR);
    await expectEnded(token, its.vault.standing);
  });

  it('a service that exchanged it before is deleted', async () => {
    const its = await setScene(server, { vault: { accessTokenFormat: 'opaque' } });
    const archive = await setScene(server, {
      vault: { accessTokenFormat: 'opaque' },
      service: { tokenExchangeSubjectClients: [its.service.clientId] },
    });
    // The second service stands for the first one's vault.
    await server.subjects.apis.update(its.vault.identifier, { clientId: archive.service.clientId }, OPERATOR);
    const person = await signInAtFront(server, { ...its, vault: archive.vault });
    await server.subjects.rbac.grantRole(
      person.credentials.account.id,
      await registerRole(server, its.vault, ['read']),
      OPERATOR,
    );
    const { access_token: first } = await tokensOf(
      await tokenRequest(server, its.service, exchangeOf(person.tokens.access_token, its.vault.identifier)),
    );
    const { access_token: second } = await tokensOf(
      await tokenRequest(server, archive.service, exchangeOf(first, archive.vault.identifier)),
    );
    expect(await introspect(server, archive.vault.standing, second)).toMatchObject({ active: true });
    await server.subjects.clients.delete(its.service.clientId, OPERATOR);
    await expectEnded(second, archive.vault.standing);
    expect(
      await refusalOf(
        await tokenRequest(server, archive.service, exchangeOf(second, archive.vault.identifier)),
      ),
    ).toEqual([400, 'invalid_request']);
  });
});

describe('a person who acts', () => {
  /** The client of the ledger is an application, at which people work. */
  const atWork = async () => {
    const desk = await setScene(server, {
      vault: { accessTokenFormat: 'opaque' },
      service: {
        kind: 'web',
        redirectUris: ['https://desk.example/callback'],
        grantTypes: ['authorization_code', 'refresh_token', TOKEN_EXCHANGE],
        scopes: ['openid', 'offline_access'],
        firstParty: true,
        consent: 'never',
      },
    });
    const customer = await signInAtFront(server, desk);
    const worker = await signInAtFront(server, { ...desk, front: desk.service });
    const response = await tokenRequest(server, desk.service, {
      ...exchangeOf(customer.tokens.access_token, desk.vault.identifier),
      actor_token: worker.tokens.access_token,
      actor_token_type: ACCESS_TOKEN,
    });
    return { desk, customer, worker, tokens: await tokensOf(response) };
  };

  it('is named, and what they got ends with their sign-in', async () => {
    const { desk, worker, tokens } = await atWork();
    expect(await introspect(server, desk.vault.standing, tokens.access_token)).toMatchObject({
      active: true,
      act: { sub: worker.credentials.account.sub, client_id: desk.service.clientId },
    });
    await signOut(worker.person, server);
    await expectEnded(tokens.access_token, desk.vault.standing);
  });

  it('has nothing left once they are disabled', async () => {
    const { desk, worker, tokens } = await atWork();
    await server.subjects.accounts.disable(worker.credentials.account.id, OPERATOR);
    await expectEnded(tokens.access_token, desk.vault.standing);
  });

  it('has nothing left once they withdraw the application that they work at, and gets nothing more', async () => {
    const { desk, customer, worker, tokens } = await atWork();
    const { account } = worker.credentials;
    await server.subjects.consents.withdraw(account, desk.service.clientId, OPERATOR);
    await expectEnded(tokens.access_token, desk.vault.standing);
    const again = await tokenRequest(server, desk.service, {
      ...exchangeOf(customer.tokens.access_token, desk.vault.identifier),
      actor_token: worker.tokens.access_token,
      actor_token_type: ACCESS_TOKEN,
    });
    expect(await refusalOf(again)).toEqual([400, 'invalid_request']);
  });

  it.each<[string, (worker: Caller) => Promise<unknown>]>([
    ['signs out', ({ person }) => signOut(person, server)],
    ['is disabled', ({ credentials }) => server.subjects.accounts.disable(credentials.account.id, OPERATOR)],
  ])('ends what was got in exchange for theirs as well, when that person %s', async (_name, end) => {
    const { desk, customer, worker, tokens } = await atWork();
    const archive = await setScene(server, {
      vault: { accessTokenFormat: 'opaque' },
      service: { tokenExchangeSubjectClients: [desk.service.clientId] },
    });
    // The second service stands for the first one's vault.
    await server.subjects.apis.update(
      desk.vault.identifier,
      { clientId: archive.service.clientId },
      OPERATOR,
    );
    const role = await registerRole(server, archive.vault, ['read']);
    await server.subjects.rbac.grantRole(customer.credentials.account.id, role, OPERATOR);
    const { access_token: second } = await tokensOf(
      await tokenRequest(server, archive.service, exchangeOf(tokens.access_token, archive.vault.identifier)),
    );
    expect(await introspect(server, archive.vault.standing, second)).toMatchObject({
      active: true,
      act: { sub: worker.credentials.account.sub },
    });
    await end(worker);
    await expectEnded(second, archive.vault.standing);
  });
});

it('is good at its API alone, and not for userinfo', async () => {
  const { access_token: token } = await tokensOf(await ask(caller.tokens.access_token));
  const other = await registerApi(server);
  expect(await introspect(server, other.standing, token)).toEqual({ active: false });
  const userinfo = await fetch(`${server.issuer}/oauth/userinfo`, {
    headers: { authorization: `Bearer ${token}` },
  });
  expect(userinfo.status).toBe(401);
});

async function expectEnded(token: string, api: Parameters<typeof introspect>[1]): Promise<void> {
  await withinASecond(async () => {
    expect(await introspect(server, api, token)).toEqual({ active: false });
  });
}
