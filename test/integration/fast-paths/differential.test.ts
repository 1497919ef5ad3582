/** The short ways past the library (src/oidc/fast) against the library itself: the same requests, the same answers. */
import { once } from 'node:events';
import { connect } from 'node:net';

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';

import { registerApi, registerMachine } from '../../support/apis.ts';
import { OPERATOR, registerApplication } from '../../support/application.ts';
import {
  introspectionRequests,
  machineRequests,
  type GeneratedRequest,
} from '../../support/fast-path-requests.ts';
import { briefToken, tokensOfAllKinds } from '../../support/fast-path-tokens.ts';
import type { StoreKind, TestServer } from '../../support/gatehouse.ts';
import { AT_ONCE, comparable, plainRequest, startTwoWays, type TwoWays } from '../../support/two-ways.ts';

const SEED = 20_260_729;
const REQUESTS = 1_200;
const SLOW_MS = 240_000;
describe.each<StoreKind>(['redis', 'postgres'])('the fast paths, with tokens in %s', (store) => {
  let ways: TwoWays;
  let fast: TestServer;
  let plain: TestServer;
  beforeAll(async () => {
    ways = await startTwoWays(store);
    ({ fast, plain } = ways);
  }, 60_000);
  afterAll(() => ways?.stop());

  afterEach(() => {
    jest.restoreAllMocks();
  });

  /** Sends each to both, and tells where their answers differ. */
  const differences = async (requests: readonly GeneratedRequest[]): Promise<unknown[]> => {
    const found: unknown[] = [];
    const waiting = [...requests];
    const work = async (): Promise<void> => {
      for (let next = waiting.pop(); next; next = waiting.pop()) {
        const [one, other] = await Promise.all([ways.send(fast, next), ways.send(plain, next)]);
        const [answer, expected] = [comparable(one), comparable(other)];
        if (JSON.stringify(answer) !== JSON.stringify(expected))
          found.push({ request: next, answer, expected });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return found;
  };

  const expectSameRecords = async (): Promise<void> => {
    const [byFast, byPlain] = [await ways.recordedBy(fast), await ways.recordedBy(plain)];
    expect(byFast.length).toBeGreaterThan(100);
    expect(byFast).toEqual(byPlain);
  };

  it(
    'introspect as the library does',
    async () => {
      const ledger = await registerApi(fast);
      const opaque = await registerApi(fast, { accessTokenFormat: 'opaque' });
      const machine = await registerMachine(fast);
      const application = await registerApplication(fast);
      const browser = await registerApplication(fast, { kind: 'browser' });
      const signing = await registerApplication(fast, { introspectionSignedResponseAlg: 'ES256' });
      const tokens = await tokensOfAllKinds(fast, { ledger, opaque, machine, application });
      await plain.subjects.revocations.refresh();
      const arbitrary = introspectionRequests(
        [machine, application, ledger.standing, opaque.standing, browser, signing],
        tokens,
      );
      const requests = fc.sample(arbitrary, { numRuns: REQUESTS, seed: SEED });
      // Each token, asked about by each of them in the plainest way.
      for (const client of [machine, application, ledger.standing, opaque.standing])
        for (const token of tokens) requests.push(plainRequest('/oauth/introspect', client, { token }));
      expect(await differences(requests)).toEqual([]);
      const brief = await briefToken(fast, machine);
      const now = Date.now();
      jest.spyOn(Date, 'now').mockImplementation(() => now + 40_000);
      // For all: the clock of the servers is the one that is moved here.
      const late = [machine, application].map((client) =>
        plainRequest('/oauth/introspect', client, { token: brief }),
      );
      expect(await differences(late)).toEqual([]);
      expect(JSON.parse((await ways.send(fast, late[0]!)).body)).toEqual({ active: false });
      jest.restoreAllMocks();
      expect(ways.taken.introspection).toBeGreaterThan(REQUESTS / 10);
      await expectSameRecords();
    },
    SLOW_MS,
  );

  it.each([1, 2, 5])('leave a body that comes in %d pieces to whoever can read it', async (pieces) => {
    const machine = await registerMachine(fast);
    const body = Buffer.from(
      new URLSearchParams({ token: 'at_nothing', token_type_hint: 'access_token' }).toString(),
    );
    const socket = connect(fast.address.port, '127.0.0.1');
    let answer = '';
    socket.on('data', (data) => {
      answer += data.toString();
    });
    const { authorization = '' } = plainRequest('', machine, {}).headers;
    socket.write(
      `POST /oauth/introspect HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: ${authorization}\r\n` +
        `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    const size = Math.ceil(body.length / pieces);
    for (let at = 0; at < body.length; at += size) {
      await new Promise((resolve) => setTimeout(resolve, 30));
      socket.write(body.subarray(at, at + size));
    }
    await once(socket, 'close');
    expect(answer).toMatch(/^HTTP\/1.1 200 [^]*\{"active":false\}$/);
  });

  it(
    'issue tokens to machines as the library does',
    async () => {
      const apis = await Promise.all([
        registerApi(fast, { signingAlg: 'EdDSA' }),
        registerApi(fast, { signingAlg: 'ES256', accessTokenTtlSeconds: 60 }),
        registerApi(fast, { signingAlg: 'RS256' }),
        registerApi(fast, { accessTokenFormat: 'opaque' }),
      ]);
      const machine = await registerMachine(fast);
      const bound = await registerApplication(fast, {
        kind: 'machine',
        redirectUris: [],
        grantTypes: ['client_credentials'],
        scopes: [],
        firstParty: false,
        consent: 'once',
        dpopBoundAccessTokens: true,
      });
      const application = await registerApplication(fast);
      for (const { clientId } of [machine, bound])
        for (const { identifier } of apis.slice(0, 4))
          await fast.subjects.apis.permitClient(
            { clientId, api: identifier, permissions: ['read', 'write'] },
            OPERATOR,
          );
      const arbitrary = machineRequests(
        [machine, machine, machine, bound, application],
        apis.map(({ identifier }) => identifier),
      );
      const requests = fc.sample(arbitrary, { numRuns: REQUESTS, seed: SEED });
      expect(await differences(requests)).toEqual([]);
      expect(ways.taken.client_credentials).toBeGreaterThan(REQUESTS / 25);
      await expectSameRecords();
    },
    SLOW_MS,
  );
});
