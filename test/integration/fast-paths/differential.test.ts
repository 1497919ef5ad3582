/** The short ways past the library (src/oidc/fast) against the library itself: the same requests, the same answers. */
import { once } from 'node:events';
import { Agent, request as httpRequest } from 'node:http';
import { connect } from 'node:net';

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { decodeJwt, decodeProtectedHeader } from 'jose';

import { registerApi, registerMachine } from '../../support/apis.ts';
import { OPERATOR, registerApplication, type Application } from '../../support/application.ts';
import { createShiftedClock } from '../../support/clock.ts';
import {
  introspectionRequests,
  machineRequests,
  type GeneratedRequest,
} from '../../support/fast-path-requests.ts';
import { BEHIND_PROXY, briefToken, tokensOfAllKinds } from '../../support/fast-path-tokens.ts';
import { startGatehouse, type StoreKind, type TestServer } from '../../support/gatehouse.ts';
import type { RawAnswer } from '../../support/raw-http.ts';

const SEED = 20_260_729;
const REQUESTS = 1_200;
const AT_ONCE = 12;
const SLOW_MS = 240_000;
/** Those of one request alone. */
const OWN_HEADERS = new Set(['date', 'x-request-id', 'connection', 'keep-alive', 'content-length']);

describe.each<StoreKind>(['redis', 'postgres'])('the fast paths, with tokens in %s', (store) => {
  const taken = { introspection: 0, client_credentials: 0, refresh_token: 0 };
  let fast: TestServer;
  let plain: TestServer;
  let agent: Agent;
  beforeAll(async () => {
    agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
    fast = await startGatehouse({
      store,
      env: BEHIND_PROXY,
      clock: createShiftedClock(),
      fastPaths: (path) => {
        taken[path] += 1;
      },
    });
    plain = await startGatehouse({
      store,
      env: BEHIND_PROXY,
      sharing: fast,
      fastPaths: 'off',
      clock: createShiftedClock(),
    });
  });
  afterAll(async () => {
    agent.destroy();
    await plain.stop();
    await fast.stop();
  });

  afterEach(() => {
    jest.restoreAllMocks();
  });

  const send = (
    server: TestServer,
    { method, target, headers, body, isChunked }: GeneratedRequest,
  ): Promise<RawAnswer> =>
    new Promise((resolve, reject) => {
      const bytes = Buffer.from(body);
      const outgoing = httpRequest(
        {
          agent,
          host: '127.0.0.1',
          port: server.address.port,
          method,
          path: target,
          headers: {
            ...headers,
            'user-agent': server === fast ? 'fast' : 'plain',
            ...(isChunked ? {} : { 'content-length': String(bytes.length) }),
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: Buffer.concat(chunks).toString(),
            }),
          );
        },
      );
      outgoing.on('error', reject);
      outgoing.end(bytes);
    });

  /** Sends each to both, and tells where their answers differ. */
  const differences = async (requests: readonly GeneratedRequest[]): Promise<unknown[]> => {
    const found: unknown[] = [];
    const waiting = [...requests];
    const work = async (): Promise<void> => {
      for (let next = waiting.pop(); next; next = waiting.pop()) {
        const [one, other] = await Promise.all([send(fast, next), send(plain, next)]);
        const [answer, expected] = [comparable(one), comparable(other)];
        if (JSON.stringify(answer) !== JSON.stringify(expected))
          found.push({ request: next, answer, expected });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return found;
  };

  /** What either wrote into the audit log, without what differs from request to request. */
  const recordedBy = async (userAgent: string): Promise<string[]> => {
    const told: string[] = [];
    for await (const {
      type,
      outcome,
      client_id: clientId,
      payload,
      user_agent: agentOf,
    } of fast.subjects.audit.export()) {
      if (agentOf !== userAgent) continue;
      told.push(
        JSON.stringify([type, outcome, clientId, payload], (key, value: unknown) =>
          key === 'fingerprint' || key === 'expires_at' ? typeof value : value,
        ),
      );
    }
    return told.toSorted();
  };

  const expectSameRecords = async (): Promise<void> => {
    const [byFast, byPlain] = [await recordedBy('fast'), await recordedBy('plain')];
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
      expect(JSON.parse((await send(fast, late[0]!)).body)).toEqual({ active: false });
      jest.restoreAllMocks();
      expect(taken.introspection).toBeGreaterThan(REQUESTS / 10);
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
      expect(taken.client_credentials).toBeGreaterThan(REQUESTS / 25);
      await expectSameRecords();
    },
    SLOW_MS,
  );
});

function plainRequest(
  target: string,
  { clientId, secret }: Application,
  form: Record<string, string>,
): GeneratedRequest {
  return {
    method: 'POST',
    target,
    headers: {
      authorization: `Basic ${Buffer.from(`${clientId}:${secret}`).toString('base64')}`,
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: new URLSearchParams(form).toString(),
    isChunked: false,
  };
}

/** What must be the same. Of a token that was issued, what it says. */
function comparable({ status, headers, body }: RawAnswer): object {
  const kept = Object.entries(headers)
    .filter(([name]) => !OWN_HEADERS.has(name))
    .toSorted(([one], [other]) => one.localeCompare(other));
  return { status, headers: kept, body: comparableBody(body) };
}

function comparableBody(body: string): unknown {
  let answer: Record<string, unknown>;
  try {
    answer = JSON.parse(body) as Record<string, unknown>;
  } catch {
    // A page carries its request's number, and a signed answer its second.
    const text = body.replaceAll(/[\da-f]{8}-[\da-f-]{27}|[\dA-F]{4}-[\dA-F]{4}/g, 'ID');
    return text.startsWith('ey') ? decodeJwt(text)['token_introspection'] : text;
  }
  const { request_id: _requestId, ...told } = answer;
  const token = told['access_token'];
  if (typeof token !== 'string') return told;
  return { ...told, access_token: token.includes('.') ? claimsOf(token) : token.slice(0, 3) + token.length };
}

function claimsOf(token: string): unknown[] {
  const { iat = 0, exp = 0, jti, ...claims } = decodeJwt(token);
  // The library looks at the clock twice, and a second may end in between.
  return [decodeProtectedHeader(token), claims, Math.round((exp - iat) / 10), jti?.length];
}
