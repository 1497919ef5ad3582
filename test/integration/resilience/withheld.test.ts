/**
 * The store goes away in the very middle of a request, at each of its steps: the client is told to come again, and what
 * it presented is as good as before. What was written with a lost answer is the worst of it.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

import type { Model, OidcStore } from '../../../src/oidc/store/port.ts';
import { randomToken } from '../../../src/platform/ids.ts';
import {
  authorizationRequest,
  authorize,
  codeOf,
  redeem,
  refresh,
  registerApplication,
  registerPerson,
  signedIn,
  tokenRequest,
} from '../../support/application.ts';
import { startGatehouse, type StoreKind, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';

type Operation = 'upsert' | 'spend' | 'saveSession' | 'markOnce' | 'putAnswer' | 'releaseSpent' | 'unmark';

interface Fault {
  operation: Operation;
  model?: Model;
  /** Whether the store does it all the same, and only its answer is lost. */
  isDone: boolean;
  /** How often. */
  times: number;
}

/** A store that fails as told. */
function createFailing(): { decorate: (store: OidcStore) => OidcStore; fail: (...faults: Fault[]) => void } {
  let armed: Fault[] = [];
  const failing =
    <Args extends unknown[], T>(operation: Operation, work: (...args: Args) => Promise<T>) =>
    async (...args: Args): Promise<T> => {
      const fault = armed.find(
        (each) =>
          each.operation === operation &&
          each.times > 0 &&
          (each.model === undefined || each.model === args[0]),
      );
      if (!fault) return work(...args);
      fault.times -= 1;
      if (fault.isDone) await work(...args);
      throw Object.assign(new Error('the store is away'), { code: 'ECONNRESET' });
    };
  return {
    fail: (...faults) => {
      armed = faults;
    },
    decorate: (store) => ({
      ...store,
      upsert: failing('upsert', store.upsert),
      spend: failing('spend', store.spend),
      saveSession: failing('saveSession', store.saveSession),
      markOnce: failing('markOnce', store.markOnce),
      putAnswer: failing('putAnswer', store.putAnswer),
      releaseSpent: failing('releaseSpent', store.releaseSpent),
      unmark: failing('unmark', store.unmark),
    }),
  };
}

describe.each<StoreKind>(['redis', 'postgres'])('a store that fails in the middle, over %s', (kind) => {
  let server: TestServer;
  const { decorate, fail } = createFailing();
  beforeAll(async () => {
    server = await startGatehouse({ store: kind, decorateStore: decorate });
  }, 60_000);
  afterAll(() => server.stop());

  const expectWithheld = async (response: Response): Promise<void> => {
    expect(response.status).toBe(503);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await response.json()).toMatchObject({ error: 'temporarily_unavailable' });
  };

  const afterSpending: [string, Fault[]][] = [
    ['the mark, set or not', [{ operation: 'spend', isDone: true, times: 1 }]],
    ['the access token', [{ operation: 'upsert', model: 'AccessToken', isDone: false, times: 1 }]],
    ['the access token, written', [{ operation: 'upsert', model: 'AccessToken', isDone: true, times: 1 }]],
    ['the refresh token', [{ operation: 'upsert', model: 'RefreshToken', isDone: false, times: 1 }]],
    [
      'the access token, and undoing it twice',
      [
        { operation: 'upsert', model: 'AccessToken', isDone: false, times: 1 },
        { operation: 'releaseSpent', isDone: false, times: 2 },
      ],
    ],
  ];

  it.each(afterSpending)('leaves a code good: %s', async (_, faults) => {
    const application = await registerApplication(server);
    const request = authorizationRequest(server, application);
    const code = codeOf(await authorize(createPerson(server.issuer), request, await registerPerson(server)));
    const grant = { code, verifier: request.verifier };
    fail(...faults.map((fault) => ({ ...fault })));
    await expectWithheld(await redeem(server, application, grant));
    expect((await redeem(server, application, grant)).status).toBe(200);
  });

  it.each([
    ...afterSpending,
    ['the copy for a retry', [{ operation: 'putAnswer', isDone: false, times: 1 }]] as [string, Fault[]],
  ])('leaves a refresh token good: %s', async (_, faults) => {
    const { application, tokens } = await signedIn(server);
    fail(...faults.map((fault) => ({ ...fault })));
    await expectWithheld(await refresh(server, application, tokens.refresh_token ?? ''));
    expect((await refresh(server, application, tokens.refresh_token ?? '')).status).toBe(200);
  });

  it.each<[string, Fault[]]>([
    ['the mark', [{ operation: 'markOnce', isDone: false, times: 1 }]],
    ['the mark, set', [{ operation: 'markOnce', isDone: true, times: 1 }]],
    [
      'the mark, set, and undoing it',
      [
        { operation: 'markOnce', isDone: true, times: 1 },
        { operation: 'unmark', isDone: false, times: 1 },
      ],
    ],
    ['the token', [{ operation: 'upsert', model: 'ClientCredentials', isDone: true, times: 1 }]],
  ])('leaves a client assertion good: %s', async (_, faults) => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    const application = await registerApplication(server, {
      grantTypes: ['client_credentials'],
      redirectUris: [],
      scopes: [],
      authMethod: 'private_key_jwt',
      jwks: { keys: [{ ...(await exportJWK(publicKey)), alg: 'ES256', use: 'sig', kid: 'one' }] },
    });
    const assertion = await new SignJWT({ jti: randomToken() })
      .setProtectedHeader({ alg: 'ES256', kid: 'one' })
      .setIssuer(application.clientId)
      .setSubject(application.clientId)
      .setAudience(server.issuer)
      .setIssuedAt()
      .setExpirationTime('2m')
      .sign(privateKey);
    const ask = (): Promise<Response> =>
      tokenRequest(server, application, {
        grant_type: 'client_credentials',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertion,
      });
    fail(...faults.map((fault) => ({ ...fault })));
    await expectWithheld(await ask());
    expect((await ask()).status).toBe(200);
    expect((await ask()).status).toBe(401);
  });

  it.each<[string, Fault]>([
    ['the session', { operation: 'saveSession', isDone: false, times: 1 }],
    // The library tries once more behind its answer.
    ['the session, twice', { operation: 'saveSession', isDone: false, times: 2 }],
    ['the session, saved under its new id', { operation: 'saveSession', isDone: true, times: 1 }],
    ['the session, saved twice under its new id', { operation: 'saveSession', isDone: true, times: 2 }],
    ['the code', { operation: 'upsert', model: 'AuthorizationCode', isDone: false, times: 1 }],
  ])('signs nobody out who was signing in once more: %s', async (_, fault) => {
    const { application, person, credentials } = await signedIn(server);
    const again = authorizationRequest(server, application, { prompt: 'login' });
    const page = await person.open(again.url);
    const fields = { identifier: credentials.email, password: credentials.password };
    fail(fault);
    const refused = await person.submit(page, fields, '/login');
    expect(fault.times).toBe(0);
    expect(refused.isAway).toBe(true);
    expect(refused.url.searchParams.get('error')).toBe('temporarily_unavailable');
    expect(refused.url.searchParams.get('state')).toBe(again.state);

    const silent = authorizationRequest(server, application, { prompt: 'none', scope: 'openid' });
    expect(codeOf(await person.open(silent.url))).toMatch(/./);
  });

  it('tells the client by the response mode that it asked for', async () => {
    const { application, person } = await signedIn(server);
    const silent = authorizationRequest(server, application, {
      prompt: 'none',
      scope: 'openid',
      response_mode: 'form_post',
    });
    fail({ operation: 'upsert', model: 'AuthorizationCode', isDone: false, times: 1 });
    const page = await person.open(silent.url);
    expect(page.isAway).toBe(false);
    expect(page.html).toContain('name="error" value="temporarily_unavailable"');
    expect(page.html).toContain(`action="${application.redirectUri}"`);
  });
});
