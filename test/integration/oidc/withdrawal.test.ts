/** A consent that is withdrawn: what ends with it, what does not, and that the client may ask anew. */
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

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
  tokenRequest,
  type Application,
  type Tokens,
} from '../../support/application.ts';
import { refusalOf, tokensOf } from '../../support/apis.ts';
import { answer, asked, openApprovals, poll, registerDesk } from '../../support/ciba.ts';
import { withinASecond } from '../../support/eventually.ts';
import { exchangeOf, setScene, signInAtFront } from '../../support/exchange.ts';
import { startGatehouse, type StoreKind, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person, type Visited } from '../../support/person.ts';
import { recordedOf } from '../../support/recorded.ts';
import { startOfSecond } from '../../support/seconds.ts';

type Credentials = Awaited<ReturnType<typeof registerPerson>>;

describe.each<StoreKind>(['postgres', 'redis'])('a consent, with sessions in %s', (store) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startGatehouse({ store });
  });
  afterAll(() => server.stop());

  const thirdParty = (consent: NewClient['consent'] = 'once'): Promise<Application> =>
    registerApplication(server, { firstParty: false, consent });
  const withdraw = ({ account }: Credentials, { clientId }: Application): Promise<void> =>
    server.subjects.consents.withdraw(account, clientId, OPERATOR);
  const expectEnded = (application: Application, token: string): Promise<void> =>
    withinASecond(async () => expect(await isActive(application, token)).toBe(false));
  const isActive = async (application: Application, token = ''): Promise<boolean> =>
    (await introspect(server, application, token)).active;

  /** @returns the page, which is the application's own where nobody is asked */
  const visit = async (person: Person, application: Application, credentials: Credentials) => {
    const request = authorizationRequest(server, application, {
      scope: 'openid offline_access',
      prompt: 'consent',
    });
    return { request, page: await authorize(person, request, credentials) };
  };
  const allow = (person: Person, page: Visited): Promise<Visited> =>
    person.submit(page, { decision: 'allow' }, '/consent');
  const signIn = async (
    person: Person,
    application: Application,
    credentials: Credentials,
  ): Promise<Tokens & { refresh_token: string }> => {
    const { request, page } = await visit(person, application, credentials);
    const code = codeOf(await allow(person, page));
    const tokens = await tokensOf(await redeem(server, application, { code, verifier: request.verifier }));
    return tokens as Required<Tokens>;
  };

  it('takes along what every browser got, and nothing of other people and clients', async () => {
    const [application, another] = [await thirdParty(), await thirdParty()];
    const [ada, bob] = [await registerPerson(server), await registerPerson(server)];
    const [home, office] = [createPerson(server.issuer), createPerson(server.issuer)];
    const ended = [await signIn(home, application, ada), await signIn(office, application, ada)];
    const [others, bobs] = [
      await signIn(home, another, ada),
      await signIn(createPerson(server.issuer), application, bob),
    ];
    await withdraw(ada, application);
    await Promise.all(ended.map((tokens) => expectEnded(application, tokens.access_token)));
    for (const tokens of ended) {
      expect(await refusalOf(await refresh(server, application, tokens.refresh_token))).toEqual([
        400,
        'invalid_grant',
      ]);
    }
    expect(await isActive(another, others.access_token)).toBe(true);
    expect((await refresh(server, another, others.refresh_token)).status).toBe(200);
    expect(await isActive(application, bobs.access_token)).toBe(true);
    expect((await refresh(server, application, bobs.refresh_token)).status).toBe(200);
    const { events } = await server.subjects.audit.list({ types: ['consent.revoked'], limit: 1 });
    expect(events).toMatchObject([
      { actor: OPERATOR_ON_RECORD, account_id: ada.account.id, client_id: application.clientId },
    ]);
  });

  it('is asked for anew in the session that goes on, and brings back nothing of before', async () => {
    const application = await thirdParty();
    const credentials = await registerPerson(server);
    const person = createPerson(server.issuer);
    const before = await signIn(person, application, credentials);
    expect(await server.subjects.consents.list(credentials.account.id)).toMatchObject([
      { clientId: application.clientId, scopes: expect.arrayContaining(['offline_access', 'openid']) },
    ]);
    await startOfSecond();
    await withdraw(credentials, application);
    expect(await server.subjects.consents.list(credentials.account.id)).toEqual([]);

    await server.subjects.revocations.refresh();
    const silent = authorizationRequest(server, application, { prompt: 'none' });
    const { url } = await person.open(silent.url);
    expect(url.searchParams.get('error')).toBe('consent_required');

    const request = authorizationRequest(server, application, { prompt: 'consent' });
    const page = await person.open(request.url);
    expect(page.isAway).toBe(false);
    const code = codeOf(await allow(person, page));
    const after = await tokensOf(await redeem(server, application, { code, verifier: request.verifier }));
    expect(await isActive(application, after.access_token)).toBe(true);
    expect((await refresh(server, application, after.refresh_token!)).status).toBe(200);
    await expectEnded(application, before.access_token);
    expect(await refusalOf(await refresh(server, application, before.refresh_token))).toEqual([
      400,
      'invalid_grant',
    ]);
  });

  it('that is withdrawn while its page is open counts from the page on, and revives nothing', async () => {
    const application = await thirdParty('always');
    const credentials = await registerPerson(server);
    const person = createPerson(server.issuer);
    const before = await signIn(person, application, credentials);
    const { request, page } = await visit(person, application, credentials);
    await startOfSecond();
    await withdraw(credentials, application);
    await server.subjects.revocations.refresh();
    const code = codeOf(await allow(person, page));
    const after = await tokensOf(await redeem(server, application, { code, verifier: request.verifier }));
    expect(await isActive(application, after.access_token)).toBe(true);
    await expectEnded(application, before.access_token);
  });

  it('that is withdrawn once more while what was allowed waits for the next second is not given', async () => {
    const application = await thirdParty('always');
    const credentials = await registerPerson(server);
    const person = createPerson(server.issuer);
    await signIn(person, application, credentials);
    const { page } = await visit(person, application, credentials);
    await startOfSecond();
    await withdraw(credentials, application);
    await server.subjects.revocations.refresh();
    const allowing = allow(person, page);
    await delay(300);
    await withdraw(credentials, application);
    await server.subjects.revocations.refresh();
    const { status, html } = await allowing;
    expect(status).toBe(410);
    expect(html).toContain('This page has expired');
  });

  it('takes along a code that is on its way, and what was exchanged for a token', async () => {
    const application = await thirdParty();
    const credentials = await registerPerson(server);
    const person = createPerson(server.issuer);
    const { request, page } = await visit(person, application, credentials);
    const code = codeOf(await allow(person, page));
    await withdraw(credentials, application);
    const late = await redeem(server, application, { code, verifier: request.verifier });
    expect(await refusalOf(late)).toEqual([400, 'invalid_grant']);

    const scene = await setScene(server);
    const caller = await signInAtFront(server, scene);
    const parameters = exchangeOf(caller.tokens.access_token, scene.vault.identifier);
    const exchanged = await tokensOf(await tokenRequest(server, scene.service, parameters));
    expect(await isActive(scene.vault.standing, exchanged.access_token)).toBe(true);
    await withdraw(caller.credentials, scene.front);
    await expectEnded(scene.vault.standing, exchanged.access_token);
    expect((await tokenRequest(server, scene.service, parameters)).status).toBe(400);
  });

  it('takes along what was approved without the browser and not fetched yet', async () => {
    const desk = await registerDesk(server);
    const credentials = await registerPerson(server);
    const person = createPerson(server.issuer);
    const page = await openApprovals(server, person, credentials);
    expect(page.status).toBe(200);
    const asking = await asked(server, desk, { login_hint: credentials.email });
    await answer(person, await openApprovals(server, person), 'approve');
    await withdraw(credentials, desk);
    const refused = await poll(server, desk, asking.auth_req_id);
    expect(await refusalOf(refused)).toEqual([400, 'invalid_grant']);
    expect(await recordedOf(server, refused)).toMatchObject([
      { type: 'token.refused', payload: { reason: expect.any(String) } },
    ]);
  });

  it('leaves the client free to ask without the browser at once', async () => {
    const desk = await registerDesk(server);
    const credentials = await registerPerson(server);
    const person = createPerson(server.issuer);
    await openApprovals(server, person, credentials);
    await asked(server, desk, { login_hint: credentials.email });
    await answer(person, await openApprovals(server, person), 'approve');
    await startOfSecond();
    await withdraw(credentials, desk);
    await server.subjects.revocations.refresh();
    const asking = await asked(server, desk, { login_hint: credentials.email });
    await answer(person, await openApprovals(server, person), 'approve');
    await tokensOf(await poll(server, desk, asking.auth_req_id));
  });

  it('that was never given cannot be withdrawn', async () => {
    const application = await thirdParty();
    const credentials = await registerPerson(server);
    for (const clientId of [application.clientId, 'nobody']) {
      await expect(withdraw(credentials, { ...application, clientId })).rejects.toMatchObject({
        code: 'consent_not_found',
        status: 404,
      });
    }
  });
});

const OPERATOR_ON_RECORD = { kind: 'operator', id: OPERATOR.name };
