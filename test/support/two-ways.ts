/** The server with its short ways past the library, and beside it one that goes through the library alone. */
import { Agent, request as httpRequest } from 'node:http';

import { decodeJwt, decodeProtectedHeader } from 'jose';

import type { FastPath } from '../../src/oidc/fast/paths.ts';
import type { OidcStore } from '../../src/oidc/store/port.ts';
import { createShiftedClock } from './clock.ts';
import type { GeneratedRequest } from './fast-path-requests.ts';
import { BEHIND_PROXY } from './fast-path-tokens.ts';
import { startGatehouse, type StoreKind, type TestServer } from './gatehouse.ts';
import type { RawAnswer } from './raw-http.ts';

/** How many requests are under way. */
export const AT_ONCE = 12;

export interface TwoWays {
  fast: TestServer;
  plain: TestServer;
  /** Of both. */
  store: OidcStore;
  /** How many requests took each short way. */
  taken: Record<FastPath, number>;
  send: (server: TestServer, request: GeneratedRequest) => Promise<RawAnswer>;
  /** What the one or the other wrote into the audit log, without what differs from request to request. */
  recordedBy: (server: TestServer) => Promise<string[]>;
  stop: () => Promise<void>;
}

/** Both have one database, one store and the same keys. */
export async function startTwoWays(store: StoreKind): Promise<TwoWays> {
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
  const taken = { introspection: 0, client_credentials: 0, refresh_token: 0 };
  const fast = await startGatehouse({
    store,
    env: BEHIND_PROXY,
    clock: createShiftedClock(),
    fastPaths: (path) => {
      taken[path] += 1;
    },
  });
  let held: OidcStore | undefined;
  const plain = await startGatehouse({
    store,
    decorateStore: (both) => {
      held = both;
      return both;
    },
    env: BEHIND_PROXY,
    sharing: fast,
    fastPaths: 'off',
    clock: createShiftedClock(),
  });
  if (!held) throw new Error('a server without a store');
  const nameOf = (server: TestServer): string => (server === fast ? 'fast' : 'plain');

  return {
    fast,
    plain,
    store: held,
    taken,
    send: (server, request) => send(agent, server, nameOf(server), request),
    recordedBy: (server) => recordedBy(fast, nameOf(server)),
    stop: async () => {
      agent.destroy();
      await plain.stop();
      await fast.stop();
    },
  };
}

function send(
  agent: Agent,
  server: TestServer,
  userAgent: string,
  { method, target, headers, body, isChunked }: GeneratedRequest,
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
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
          'user-agent': userAgent,
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
}

async function recordedBy({ subjects }: TestServer, userAgent: string): Promise<string[]> {
  const told: string[] = [];
  for await (const {
    type,
    outcome,
    client_id: clientId,
    account_id: accountId,
    grant_id: grantId,
    session_uid: sessionUid,
    payload,
    user_agent: agentOf,
  } of subjects.audit.export()) {
    if (agentOf !== userAgent) continue;
    const of = [clientId, accountId, grantId, sessionUid];
    told.push(
      JSON.stringify([type, outcome, of, payload], (key, value: unknown) =>
        key === 'fingerprint' || key === 'expires_at' ? typeof value : value,
      ),
    );
  }
  return told.toSorted();
}

/** Those of one request alone. */
const OWN_HEADERS = new Set(['date', 'x-request-id', 'connection', 'keep-alive', 'content-length']);

/** What must be the same. Of a token that was issued, what it says. */
export function comparable({ status, headers, body }: RawAnswer): object {
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
  return Object.fromEntries(
    Object.entries(told).map(([name, value]) => [name, TOKENS.has(name) ? toldBy(String(value)) : value]),
  );
}

const TOKENS = new Set(['access_token', 'refresh_token', 'id_token']);

/** Without what belongs to this token or this sign-in alone. */
function toldBy(token: string): unknown {
  if (!token.includes('.')) return token.slice(0, 3) + token.length;
  const { iat = 0, exp = 0, jti, ...claims } = decodeJwt(token);
  for (const own of ['gth', 'nonce', 'sid', 'auth_time']) if (own in claims) claims[own] = typeof claims[own];
  // The library looks at the clock twice, and a second may end in between.
  return [decodeProtectedHeader(token), claims, Math.round((exp - iat) / 10), jti?.length];
}

export function plainRequest(
  target: string,
  { clientId, secret }: { clientId: string; secret: string | undefined },
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
