/** How long access can be renewed, by whom, and whether the refresh token is a new one each time. */
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';

import type { NewApi } from '../../../src/apis/service.ts';
import type { NewClient } from '../../../src/clients/service.ts';
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
} from '../../support/apis.ts';
import {
  authorizationRequest,
  authorize,
  basicOf,
  codeOf,
  introspect,
  OPERATOR,
  redeem,
  refresh,
  registerApplication,
  registerPerson,
  type Application,
  type Tokens,
} from '../../support/application.ts';
import { makeCertificate } from '../../support/certificates.ts';
import { createShiftedClock } from '../../support/clock.ts';
import { proofKey, proven, type ProofKey } from '../../support/dpop.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';
import { recordedOf } from '../../support/recorded.ts';

const IDLE = 2_000;
const ABSOLUTE = 5_000;
const BOUND = { dpopBoundAccessTokens: true, rotateRefreshTokens: false } as const;
const CERTIFIED = { tlsClientCertificateBoundAccessTokens: true } as const;
const CERTIFICATE = 'x-client-certificate';

const clock = createShiftedClock();
let server: TestServer;
beforeAll(async () => {
  server = await startGatehouse({
    clock,
    env: {
      GATEHOUSE_TTL_REFRESH_TOKEN_IDLE_SECONDS: String(IDLE),
      GATEHOUSE_TTL_REFRESH_TOKEN_ABSOLUTE_SECONDS: String(ABSOLUTE),
      GATEHOUSE_TRUSTED_PROXIES: '127.0.0.0/8,::1',
      GATEHOUSE_MTLS_HEADER: CERTIFICATE,
    },
  });
});
afterAll(() => server.stop());
afterEach(() => {
  jest.restoreAllMocks();
});

/** The library reads the time of the process. */
function later(seconds: number): void {
  const now = Date.now();
  jest.spyOn(Date, 'now').mockImplementation(() => now + seconds * 1000);
}

async function lifeOf(application: Application, token = ''): Promise<number> {
  const { exp } = await introspect(server, application, token);
  return Number(exp) - Math.floor(Date.now() / 1000);
}

/** About as long: a busy machine takes its time. */
function expectAbout(seconds: number, expected: number): void {
  expect(seconds).toBeLessThanOrEqual(expected);
  expect(seconds).toBeGreaterThan(expected - 60);
}

/** What shows possession, made anew for each request to the token endpoint. */
type Possession = () => Promise<{ headers: Record<string, string> }>;

const ofKey = (key: ProofKey): Possession => {
  return () => proven(server.issuer, key);
};

const aKey = async (): Promise<Possession> => ofKey(await proofKey());

/** As a trusted proxy passes it on. */
const aCertificate = (): Promise<Possession> => {
  const headers = { [CERTIFICATE]: encodeURIComponent(makeCertificate().pem) };
  return Promise.resolve(() => Promise.resolve({ headers }));
};

async function signIn(input: Partial<NewClient>, possession?: Possession) {
  const application = await registerApplication(server, input);
  const credentials = await registerPerson(server);
  const person = createPerson(server.issuer);
  const request = authorizationRequest(server, application);
  const code = codeOf(await authorize(person, request, credentials));
  const init = possession ? await possession() : {};
  const tokens = await tokensOf(
    await redeem(server, application, { code, verifier: request.verifier }, init),
  );
  return { application, tokens: tokens as Required<Tokens>, credentials };
}

async function signInFor(apis: RegisteredApi[], input: Partial<NewClient> = {}) {
  const roles = await Promise.all(apis.map((api) => registerRole(server, api, ['read', 'write'])));
  const application = await registerApplication(server, input);
  const visitor = await registerVisitor(server, { roles, application });
  const asked = await ask(server, visitor, {
    resource: apis.map(({ identifier }) => identifier),
    scope: 'openid offline_access read',
  });
  const tokens = await tokensOf(await redeemFor(server, application, asked, apis[0]?.identifier));
  return { application, tokens: tokens as Required<Tokens>, visitor };
}

it('a refresh for one API keeps to the strictest that the grant is for', async () => {
  const [strict, mild] = [
    await registerApi(server, { refreshTokenIdleSeconds: 300 }),
    await registerApi(server),
  ];
  const { application, tokens } = await signInFor([mild, strict]);
  const next = await tokensOf(
    await refreshFor(server, application, tokens.refresh_token, { resource: mild.identifier }),
  );
  expectAbout(await lifeOf(application, next.refresh_token), 300);
});

describe('the life of a refresh token', () => {
  it.each<[string, Partial<NewClient>, Partial<NewApi>[], number]>([
    ['the settings, where nobody else says', {}, [], IDLE],
    ['the client', { refreshTokenIdleSeconds: 900 }, [], 900],
    ['its API', {}, [{ refreshTokenIdleSeconds: 800 }], 800],
    ['the strictest of its APIs', {}, [{}, { refreshTokenIdleSeconds: 700 }], 700],
    [
      'the client before a more generous API',
      { refreshTokenIdleSeconds: 600 },
      [{ refreshTokenIdleSeconds: 800 }],
      600,
    ],
    ['the settings before a more generous client', { refreshTokenIdleSeconds: 9_000 }, [], IDLE],
    ['the end of the family, where that comes first', { refreshTokenAbsoluteSeconds: 500 }, [], 500],
    ['the same for an API', {}, [{ refreshTokenAbsoluteSeconds: 400 }], 400],
  ])('follows %s', async (_name, client, wishes, expected) => {
    const apis = await Promise.all(wishes.map((wish) => registerApi(server, wish)));
    const { application, tokens } = apis.length > 0 ? await signInFor(apis, client) : await signIn(client);
    expectAbout(await lifeOf(application, tokens.refresh_token), expected);
    const next = await tokensOf(await refresh(server, application, tokens.refresh_token));
    expectAbout(await lifeOf(application, next.refresh_token), expected);
  });

  it('is over with the family, whatever was still allowed when the token was given', async () => {
    const { application, tokens } = await signIn({});
    await server.subjects.clients.update(
      application.clientId,
      { refreshTokenAbsoluteSeconds: 300 },
      OPERATOR,
    );
    later(400);
    const refused = await refresh(server, application, tokens.refresh_token);
    expect(await refusalOf(refused)).toEqual([400, 'invalid_grant']);
    expect(await recordedOf(server, refused)).toMatchObject([
      { type: 'token.refused', payload: { reason: expect.stringContaining('end of its life') } },
    ]);
  });

  it('shrinks as the family grows old', async () => {
    const { application, tokens } = await signIn({ refreshTokenAbsoluteSeconds: IDLE });
    later(1_500);
    const next = await tokensOf(await refresh(server, application, tokens.refresh_token));
    expectAbout(await lifeOf(application, next.refresh_token), 500);
  });
});

it('a client that may no longer act while people are away is refused what it still holds', async () => {
  const { application, tokens } = await signIn({});
  await server.subjects.clients.update(application.clientId, { scopes: ['openid', 'profile'] }, OPERATOR);
  const refused = await refresh(server, application, tokens.refresh_token);
  expect(await refusalOf(refused)).toEqual([400, 'invalid_grant']);
  await server.subjects.clients.update(
    application.clientId,
    { scopes: ['openid', 'offline_access'] },
    OPERATOR,
  );
  expect((await refresh(server, application, tokens.refresh_token)).status).toBe(200);
});

it('a client that requires a role refreshes for nobody who lost it, and a refusal spends nothing', async () => {
  const { rbac } = server.subjects;
  const { name: role } = await rbac.createRole({ name: 'reader' }, OPERATOR);
  const { application, tokens, credentials } = await signIn({});
  const { id } = credentials.account;
  await server.subjects.clients.update(application.clientId, { requireRole: role }, OPERATOR);
  await rbac.grantRole(id, role, OPERATOR);
  const next = await tokensOf(await refresh(server, application, tokens.refresh_token));
  await rbac.revokeRole(id, role, OPERATOR);
  const refused = await refresh(server, application, next.refresh_token!);
  expect(await refusalOf(refused)).toEqual([400, 'invalid_grant']);
  expect(await recordedOf(server, refused)).toMatchObject([
    {
      type: 'token.refused',
      payload: { reason: expect.stringContaining('the role that the client requires') },
    },
  ]);
  await rbac.grantRole(id, role, OPERATOR);
  expect((await refresh(server, application, next.refresh_token!)).status).toBe(200);
});

describe.each([
  ['that rotate, bound to a key,', { dpopBoundAccessTokens: true }, aKey],
  ['that do not, bound to a key,', BOUND, aKey],
  ['that rotate, bound to a certificate,', CERTIFIED, aCertificate],
  ['that do not, bound to a certificate,', { ...CERTIFIED, rotateRefreshTokens: false }, aCertificate],
] as [string, Partial<NewClient>, () => Promise<Possession>][])(
  "a public client's refresh tokens %s",
  (_name, input, make) => {
    it('are good with their own alone, and a wrong one spends nothing', async () => {
      const [own, other] = await Promise.all([make(), make()]);
      const { application, tokens } = await signIn({ kind: 'browser', ...input }, own);
      const refused = [
        await refresh(server, application, tokens.refresh_token, await other()),
        await refresh(server, application, tokens.refresh_token),
      ];
      for (const response of refused) {
        expect(await refusalOf(response)).toEqual([400, 'invalid_grant']);
        expect(await recordedOf(server, response)).toMatchObject([
          { type: 'token.refused', payload: { reason: expect.any(String) } },
        ]);
      }
      const good = await refresh(server, application, tokens.refresh_token, await own());
      expect(good.status).toBe(200);
      const { refresh_token: next } = await tokensOf(good);
      expect(next === tokens.refresh_token).toBe(input.rotateRefreshTokens === false);
      // What came of it is bound as well.
      for (const init of [await other(), {}])
        expect(await refusalOf(await refresh(server, application, next!, init))).toEqual([
          400,
          'invalid_grant',
        ]);
      expect((await refresh(server, application, next!, await own())).status).toBe(200);
    });
  },
);

describe('a refresh token that does not rotate', () => {
  it('stays the same, and each use gives an access token and leaves a record', async () => {
    const key = await proofKey();
    const { application, tokens } = await signIn(BOUND, ofKey(key));
    const answers = [];
    for (let use = 0; use < 3; use += 1) {
      const response = await refresh(
        server,
        application,
        tokens.refresh_token,
        await proven(server.issuer, key),
      );
      expect(await recordedOf(server, response)).toMatchObject([
        {
          type: 'token.issued',
          payload: {
            grant_type: 'refresh_token',
            issued: [{ kind: 'access_token' }, { kind: 'id_token' }],
          },
        },
      ]);
      answers.push(await tokensOf(response));
    }
    expect(new Set(answers.map((answer) => answer.refresh_token))).toEqual(new Set([tokens.refresh_token]));
    expect(new Set(answers.map((answer) => answer.access_token)).size).toBe(3);
    for (const { access_token: token } of answers)
      expect(await introspect(server, application, token)).toMatchObject({ active: true });
  });

  it('may change its key where the client proves who it is (RFC 9449 §5), and needs one', async () => {
    const { application, tokens } = await signIn(BOUND, ofKey(await proofKey()));
    expect(await refusalOf(await refresh(server, application, tokens.refresh_token))).toEqual([
      400,
      'invalid_grant',
    ]);
    const anew = await refresh(
      server,
      application,
      tokens.refresh_token,
      await proven(server.issuer, await proofKey()),
    );
    expect(anew.status).toBe(200);
  });

  it('lives on while it is used, until its family ends', async () => {
    const key = await proofKey();
    const { application, tokens } = await signIn(
      { ...BOUND, refreshTokenAbsoluteSeconds: 3_000 },
      ofKey(key),
    );
    const use = async (): Promise<Response> =>
      refresh(server, application, tokens.refresh_token, await proven(server.issuer, key));
    expectAbout(await lifeOf(application, tokens.refresh_token), IDLE);
    later(1_500);
    expect((await use()).status).toBe(200);
    expectAbout(await lifeOf(application, tokens.refresh_token), 1_500);
    later(1_400);
    expect((await use()).status).toBe(200);
    later(200);
    expect(await refusalOf(await use())).toEqual([400, 'invalid_grant']);
  });

  it('ends where it is not used', async () => {
    const key = await proofKey();
    const { application, tokens } = await signIn(BOUND, ofKey(key));
    later(IDLE + 60);
    const late = await refresh(server, application, tokens.refresh_token, await proven(server.issuer, key));
    expect(await refusalOf(late)).toEqual([400, 'invalid_grant']);
  });

  it('gives nothing more at an API than a new one would', async () => {
    const api = await registerApi(server);
    const { application, tokens, visitor } = await signInFor([api]);
    await server.subjects.clients.update(application.clientId, BOUND, OPERATOR);
    const key = await proofKey();
    const use = async (): Promise<Response> => {
      const { headers } = await proven(server.issuer, key);
      return fetch(`${server.issuer}/oauth/token`, {
        method: 'POST',
        headers: { ...headers, authorization: basicOf(application) },
        body: new URLSearchParams({
          grant_type: 'refresh_token',
          refresh_token: tokens.refresh_token,
          resource: api.identifier,
        }),
      });
    };
    expect((await use()).status).toBe(200);
    for (const { name } of await server.subjects.rbac.rolesOf(visitor.credentials.account.id))
      await server.subjects.rbac.revokeRole(visitor.credentials.account.id, name, OPERATOR);
    expect(await refusalOf(await use())).toEqual([400, 'invalid_scope']);
    await server.subjects.apis.update(api.identifier, { allowOfflineAccess: false }, OPERATOR);
    expect(await refusalOf(await use())).toEqual([400, 'invalid_target']);
  });

  it('is none that was spent while the client’s rotated', async () => {
    const key = await proofKey();
    const { application, tokens } = await signIn({ dpopBoundAccessTokens: true }, ofKey(key));
    const refreshed = async (token: string): Promise<Response> =>
      refresh(server, application, token, await proven(server.issuer, key));
    const { refresh_token: successor = '' } = await tokensOf(await refreshed(tokens.refresh_token));
    await server.subjects.clients.update(application.clientId, { rotateRefreshTokens: false }, OPERATOR);
    expect((await tokensOf(await refreshed(successor))).refresh_token).toBe(successor);
    clock.advanceSeconds(120);
    expect(await refusalOf(await refreshed(tokens.refresh_token))).toEqual([400, 'invalid_grant']);
    expect(await refusalOf(await refreshed(successor))).toEqual([400, 'invalid_grant']);
  });

  it('is spent as ever once the client rotates again', async () => {
    const key = await proofKey();
    const { application, tokens } = await signIn(BOUND, ofKey(key));
    const use = async (token: string): Promise<Tokens> =>
      tokensOf(await refresh(server, application, token, await proven(server.issuer, key)));
    expect((await use(tokens.refresh_token)).refresh_token).toBe(tokens.refresh_token);
    await server.subjects.clients.update(application.clientId, { rotateRefreshTokens: null }, OPERATOR);
    expect((await use(tokens.refresh_token)).refresh_token).not.toBe(tokens.refresh_token);
  });
});
