/**
 * Refreshes by the short way past the library (src/oidc/fast/refresh.ts) against those by the library itself. A refresh
 * token is good once, so each way has families of its own: the same person, client and grant of the same things. With
 * each success the families change sides, so that each way has to understand what the other one stored.
 */
import { isDeepStrictEqual } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { TOKEN_EXCHANGE } from '../../../src/clients/client.ts';
import { ask, redeemFor, registerApi, registerRole, registerVisitor, tokensOf } from '../../support/apis.ts';
import { introspect, registerApplication, type Application } from '../../support/application.ts';
import { refreshRequests, type RefreshRequest } from '../../support/fast-path-requests.ts';
import type { StoreKind, TestServer } from '../../support/gatehouse.ts';
import { comparable, plainRequest, startTwoWays, type TwoWays } from '../../support/two-ways.ts';

const SEED = 20_261_201;
const REQUESTS_OF_EACH = 110;
const MIN_SUCCESSES = 10;
const SLOW_MS = 240_000;
type NewClient = Parameters<typeof registerApplication>[1];

/** A client and what a person let it do, twice. */
interface Kind {
  name: string;
  application: Application;
  /** The first one belongs to the server with the short ways, until they change sides. */
  tokens: [string, string];
  requests: RefreshRequest[];
  succeeded: number;
  /** When each family began, in seconds. */
  began: number[];
}

interface Answer {
  access_token: string;
  refresh_token: string;
}

interface Family {
  client?: NewClient;
  scope: string;
  resource?: string | string[];
}

describe.each<StoreKind>(['redis', 'postgres'])('a refresh by the short way, with tokens in %s', (store) => {
  let ways: TwoWays;
  let fast: TestServer;
  let plain: TestServer;
  beforeAll(async () => {
    ways = await startTwoWays(store);
    ({ fast, plain } = ways);
  }, 60_000);
  afterAll(() => ways?.stop());

  const differences: unknown[] = [];

  /** One request to each way, each with a token of its own. */
  const sendBoth = async (kind: Kind, request: RefreshRequest): Promise<void> => {
    const servers = [fast, plain];
    const answers = await Promise.all(
      servers.map((server, index) => {
        const { bodyWith, ...rest } = request;
        return ways.send(server, { ...rest, body: bodyWith(kind.tokens[index] ?? '') });
      }),
    );
    const [answer, expected] = answers.map(comparable);
    if (JSON.stringify(answer) !== JSON.stringify(expected))
      differences.push({ kind: kind.name, body: request.bodyWith('…'), answer, expected });
    if (!answers.every(({ status }) => status === 200)) return;
    const [byFast, byPlain] = answers.map(({ body }) => JSON.parse(body) as Answer) as [Answer, Answer];
    kind.succeeded += 1;
    await expectSameStanding(kind, byFast, byPlain);
    await expectSameRetry(kind, request, answers[0]!.body);
    kind.tokens = [byPlain.refresh_token, byFast.refresh_token];
  };

  /** What is stored of the next of the family, and what introspection tells of both tokens. */
  const expectSameStanding = async (kind: Kind, one: Answer, other: Answer): Promise<void> => {
    for (const name of ['access_token', 'refresh_token'] as const) {
      const told = await Promise.all([one, other].map((answer) => standingOf(kind, answer[name])));
      if (!isDeepStrictEqual(told[0], told[1])) differences.push({ kind: kind.name, name, told });
    }
    const stored = await Promise.all([one, other].map((answer) => storedOf(kind, answer.refresh_token)));
    if (!isDeepStrictEqual(stored[0], stored[1])) differences.push({ kind: kind.name, stored });
  };
  const storedOf = async (kind: Kind, refreshToken: string): Promise<object> => {
    const {
      iat,
      exp,
      iiat,
      jti: _jti,
      nonce,
      ...held
    } = (await ways.store.find('RefreshToken', refreshToken)) ?? {};
    const life = lifeOf({ iat, exp }, 'refresh_token');
    // A family is as old as its first token.
    return { ...held, nonce: typeof nonce, life, isAsOld: kind.began.includes(Number(iiat)) };
  };
  const standingOf = async (kind: Kind, token: string): Promise<object> => {
    const { iat, exp, jti: _jti, ...told } = await introspect(plain, kind.application, token);
    return {
      ...told,
      life: lifeOf({ iat, exp }, token.startsWith('rt_') ? 'refresh_token' : 'access_token'),
      auth_time: typeof told['auth_time'],
      sid: typeof told['sid'],
    };
  };

  /** The answer did not arrive, and the client asks again: of whichever way, it is told the same. */
  const expectSameRetry = async (kind: Kind, request: RefreshRequest, answered: string): Promise<void> => {
    const { bodyWith, ...rest } = request;
    const body = bodyWith(kind.tokens[0]);
    const again = await Promise.all([fast, plain].map((server) => ways.send(server, { ...rest, body })));
    for (const { status, body: told } of again)
      if (status !== 200 || told !== answered) differences.push({ kind: kind.name, retry: told, answered });
  };

  const open = async (name: string, roles: string[], { client, scope, resource }: Family): Promise<Kind> => {
    const application = await registerApplication(fast, client);
    const visitor = await registerVisitor(fast, { application, roles });
    const tokens: string[] = [];
    for (let family = 0; family < 2; family += 1) {
      const asked = await ask(fast, visitor, { scope, ...(resource === undefined ? {} : { resource }) });
      const target = [resource ?? []].flat()[0];
      const answer = await tokensOf(await redeemFor(fast, application, asked, target));
      tokens.push(answer.refresh_token ?? '');
    }
    const first = await Promise.all(tokens.map((token) => ways.store.find('RefreshToken', token)));
    const began = first.map((token) => Number(token?.['iiat']));
    return { name, application, tokens: tokens as [string, string], requests: [], succeeded: 0, began };
  };

  it(
    'is answered as the library answers it',
    async () => {
      const ledger = await registerApi(fast, { signingAlg: 'ES256', accessTokenTtlSeconds: 60 });
      const slow = await registerApi(fast, { signingAlg: 'RS256' });
      const opaque = await registerApi(fast, { accessTokenFormat: 'opaque' });
      const atHome = await registerApi(fast, { allowOfflineAccess: false, refreshTokenIdleSeconds: 3_600 });
      const apis = [ledger, slow, opaque, atHome].map(({ identifier }) => identifier);
      const roles = await Promise.all(
        [ledger, slow, opaque, atHome].map((api) => registerRole(fast, api, ['read', 'write'])),
      );
      const all = 'openid profile email roles offline_access read write audit';
      const families: Record<string, Family> = {
        'the plainest': { scope: 'openid' },
        'for ever, RS256': { scope: 'openid profile email offline_access' },
        EdDSA: { client: { idTokenAlg: 'EdDSA' }, scope: 'openid roles offline_access' },
        'secret in the form': {
          client: { idTokenAlg: 'ES256', authMethod: 'client_secret_post', accessTokenTtlSeconds: 90 },
          scope: 'openid email',
        },
        'all in the ID token': {
          client: { claimsInIdToken: true, rolesClaim: { name: 'realm_access.roles', prefix: 'role-' } },
          scope: 'openid profile email roles offline_access',
        },
        'roles by another name': { client: { rolesClaim: { name: 'groups' } }, scope: 'openid roles' },
        'sid in the ID token': {
          client: { backchannelLogoutUri: 'https://app.example/out', backchannelLogoutSessionRequired: true },
          scope: 'openid',
        },
        'no openid': { scope: 'profile offline_access' },
        'an API': { scope: all, resource: ledger.identifier },
        'an API, signed slowly': { scope: 'read write offline_access', resource: slow.identifier },
        'an opaque API': { scope: 'openid read write', resource: opaque.identifier },
        'an API while signed in': { scope: 'openid read', resource: atHome.identifier },
        'several APIs': { scope: all, resource: [ledger.identifier, opaque.identifier] },
        'its own lifetimes': {
          client: { refreshTokenIdleSeconds: 3_600, refreshTokenAbsoluteSeconds: 3_600 },
          scope: 'openid offline_access',
        },
        pairwise: { client: { subjectType: 'pairwise' }, scope: 'openid offline_access' },
        'may exchange tokens': {
          client: {
            grantTypes: ['authorization_code', 'refresh_token', TOKEN_EXCHANGE],
            tokenExchangeAudiences: [ledger.identifier],
            tokenExchangeModes: ['impersonation'],
          },
          scope: 'openid offline_access',
        },
        'a role required': { client: { requireRole: roles[0] ?? '' }, scope: 'openid' },
      };
      const kinds: Kind[] = [];
      for (const [name, family] of Object.entries(families)) kinds.push(await open(name, roles, family));
      await plain.subjects.revocations.refresh();
      const others = [
        ledger.standing,
        kinds[0]!.application,
        await registerApplication(fast, { kind: 'browser' }),
      ];
      for (const [index, kind] of kinds.entries()) {
        const arbitrary = refreshRequests(kind.application, others, apis);
        kind.requests = fc.sample(arbitrary, { numRuns: REQUESTS_OF_EACH, seed: SEED + index });
        kind.requests.push(...plainRefreshes(kind.application, apis));
      }
      await Promise.all(
        kinds.map(async (kind) => {
          for (const request of kind.requests) await sendBoth(kind, request);
        }),
      );
      expect(differences).toEqual([]);
      // None of the families ended early, and most of what succeeded took the short way.
      for (const { name, succeeded } of kinds)
        expect([name, succeeded >= MIN_SUCCESSES]).toEqual([name, true]);
      const succeeded = kinds.reduce((sum, kind) => sum + kind.succeeded, 0);
      expect(ways.taken.refresh_token).toBeGreaterThan(succeeded * 0.7);
      const [byFast, byPlain] = [await ways.recordedBy(fast), await ways.recordedBy(plain)];
      expect(byFast).toEqual(byPlain);
    },
    SLOW_MS,
  );
});

/** That of a refresh token shrinks with the family's, which began a moment earlier or later than the other one. */
function lifeOf(
  { iat, exp }: { iat: unknown; exp: unknown },
  kind: 'access_token' | 'refresh_token',
): number {
  return Math.round((Number(exp) - Number(iat)) / (kind === 'refresh_token' ? 600 : 10));
}

/** In the plainest way, for userinfo and for each API, with all of the scope and with a part. */
function plainRefreshes(application: Application, apis: readonly string[]): RefreshRequest[] {
  const resources = [{}, ...apis.map((resource) => ({ resource }))];
  const scopes = [{}, { scope: 'openid' }, { scope: 'read' }, { scope: 'openid read email' }];
  return resources.flatMap((resource) =>
    scopes.map((scope) => {
      const { body: _body, ...request } = plainRequest('/oauth/token', application, {});
      const bodyWith = (refreshToken: string): string =>
        new URLSearchParams({
          grant_type: 'refresh_token',
          refresh_token: refreshToken,
          ...resource,
          ...scope,
        }).toString();
      return Object.assign(request, { bodyWith });
    }),
  );
}
