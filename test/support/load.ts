/**
 * Clients and people who go on using the server whatever happens to it, as well-kept applications do: who is told to
 * come again comes again with the same credential. Every answer and every token is noted, to be held against the
 * audit log afterwards (evidence.ts).
 */
import { setTimeout as delay } from 'node:timers/promises';

import { exportJWK, generateKeyPair, SignJWT } from 'jose';

import { randomToken } from '../../src/platform/ids.ts';
import {
  authorizationRequest,
  authorize,
  redeem,
  refresh,
  registerApplication,
  registerPerson,
  tokenRequest,
  type Application,
  type Tokens,
} from './application.ts';
import type { TestServer } from './gatehouse.ts';
import { createPerson, type Person } from './person.ts';

type Operation = 'machine' | 'assertion' | 'refresh' | 'redeem' | 'authorize' | 'sign-in' | 'renew';

/** One answer, or the lack of one. */
export interface Noted {
  operation: Operation;
  at: number;
  tookMs: number;
  /** The HTTP status; 0 where the connection broke. */
  status: number;
  /** The error that the client was told. */
  error?: string;
  retryAfter?: string;
  requestId?: string;
  /** Of a page. */
  isPage?: boolean;
}

/** What a client holds in its hands. */
export interface Received {
  value: string;
  requestId: string;
  operation: Operation;
  /** What it was given for. */
  spent?: string;
}

export interface Load {
  noted: Noted[];
  received: Received[];
  /** Codes that were refused after an attempt whose answer did not arrive. */
  refusedCodes: string[];
  /** What no well-kept client should ever see. */
  surprises: string[];
  /** How often each operation came to its end. */
  done: Record<Operation, number>;
  /** Lets everybody finish what they are at, retries included; who does not come to an end is a surprise. */
  finish: (withinMs?: number) => Promise<void>;
  /** Ends it where it stands: for a test that has failed. */
  abandon: () => void;
}

export interface LoadOptions {
  server: Pick<TestServer, 'issuer' | 'subjects'>;
  /** Of each kind. */
  clients?: number;
  pauseMs?: number;
}

const HANGS_AFTER_MS = 30_000;
/** Nobody tries for longer than this: whatever lasts so long is no outage of ours. */
const GIVES_UP_AFTER_MS = 180_000;
const RETRY_PAUSE_MS = 150;

/** Makes the accounts and applications, signs everybody in, and begins. The server must be well at that time. */
export async function startLoad({ server, clients = 2, pauseMs = 30 }: LoadOptions): Promise<Load> {
  const noted: Noted[] = [];
  const received: Received[] = [];
  const refusedCodes: string[] = [];
  const surprises: string[] = [];
  const done: Load['done'] = {
    machine: 0,
    assertion: 0,
    refresh: 0,
    redeem: 0,
    authorize: 0,
    'sign-in': 0,
    renew: 0,
  };
  const course = { isOver: false, isAbandoned: false };

  const surprise = (operation: Operation, what: string): void => {
    surprises.push(`${operation}: ${what.slice(0, 600)}`);
  };

  /** One attempt, noted. Undefined: the connection broke or nobody answered. */
  const attempt = async <T extends { status: number }>(
    operation: Operation,
    request: () => Promise<T>,
    describe: (answer: T) => Promise<Partial<Noted>> | Partial<Noted>,
  ): Promise<T | undefined> => {
    if (course.isAbandoned) throw new Error('the load was abandoned');
    const at = Date.now();
    const start = performance.now();
    try {
      const answer = await request();
      const tookMs = performance.now() - start;
      noted.push({ operation, at, tookMs, status: answer.status, ...(await describe(answer)) });
      return answer;
    } catch (error) {
      const tookMs = performance.now() - start;
      noted.push({ operation, at, tookMs, status: 0, error: String(error) });
      if (tookMs > HANGS_AFTER_MS - 1_000) surprise(operation, `no answer within ${tookMs.toFixed(0)} ms`);
      return undefined;
    }
  };

  /** At the token endpoint, again and again until there is an answer other than "come again". */
  const untilAnswered = async (
    operation: Operation,
    request: (init: RequestInit) => Promise<Response>,
    spent?: string,
  ): Promise<{ tokens?: Tokens; error?: string; wasCutOff: boolean }> => {
    let wasCutOff = false;
    const giveUpAt = Date.now() + GIVES_UP_AFTER_MS;
    for (;;) {
      let body: Record<string, unknown> = {};
      const answer = await attempt(
        operation,
        async () => {
          const response = await request({ signal: AbortSignal.timeout(HANGS_AFTER_MS) });
          body = (await response.json()) as typeof body;
          return response;
        },
        ({ headers }) => noteOf(headers, body['error']),
      );
      if (answer?.status === 200) {
        const tokens = body as unknown as Tokens;
        const requestId = answer.headers.get('x-request-id') ?? '';
        for (const value of [tokens.access_token, tokens.refresh_token, tokens.id_token]) {
          if (value) received.push({ value, requestId, operation, ...(spent ? { spent } : {}) });
        }
        done[operation] += 1;
        return { tokens, wasCutOff };
      }
      if (answer && answer.status < 500) return { error: String(body['error']), wasCutOff };
      if (answer && answer.status !== 503) {
        surprise(operation, `status ${answer.status} ${JSON.stringify(body)}`);
        return { error: `status ${answer.status}`, wasCutOff };
      }
      if (Date.now() > giveUpAt) return { error: 'refused for too long', wasCutOff };
      wasCutOff ||= answer === undefined;
      await delay(RETRY_PAUSE_MS);
    }
  };

  /** From the authorization request to a code; a person who is refused for now starts again at the application. */
  const untilAuthorized = async (
    operation: 'authorize' | 'sign-in' | 'renew',
    application: Application,
    person: Person,
    credentials?: { email: string; password: string },
  ): Promise<{ code: string; verifier: string } | undefined> => {
    const giveUpAt = Date.now() + GIVES_UP_AFTER_MS;
    for (;;) {
      const request = authorizationRequest(server, application, PARAMETERS[operation]);
      const visited = await attempt(
        operation,
        () => authorize(person, request, credentials),
        ({ isAway, url }) => ({ isPage: !isAway, ...errorOf(url.searchParams) }),
      );
      const code = visited?.url.searchParams.get('code');
      if (visited?.isAway && code) {
        done[operation] += 1;
        return { code, verifier: request.verifier };
      }
      const error = visited?.url.searchParams.get('error') ?? undefined;
      if (visited?.isAway && error !== 'temporarily_unavailable') {
        surprise(operation, `sent back with ${visited.url.search}`);
        return undefined;
      }
      if (visited && !visited.isAway && visited.status !== 503) {
        surprise(operation, `page ${visited.status} at ${visited.url.pathname}: ${textOf(visited.html)}`);
        return undefined;
      }
      if (Date.now() > giveUpAt) {
        surprise(operation, 'refused for too long');
        return undefined;
      }
      await delay(RETRY_PAUSE_MS);
    }
  };

  const redeemAll = async (
    application: Application,
    grant: { code: string; verifier: string },
  ): Promise<Tokens | undefined> => {
    const { tokens, error, wasCutOff } = await untilAnswered(
      'redeem',
      (init) => redeem(server, application, grant, init),
      grant.code,
    );
    if (tokens) return tokens;
    if (wasCutOff && error === 'invalid_grant') refusedCodes.push(grant.code);
    else surprise('redeem', `refused with ${error}`);
    return undefined;
  };

  const machine = async (): Promise<() => Promise<void>> => {
    const application = await registerApplication(server, { ...MACHINE, name: 'Machine' });
    return async () => {
      const { error } = await untilAnswered('machine', (init) =>
        tokenRequest(server, application, { grant_type: 'client_credentials' }, init),
      );
      if (error) surprise('machine', `refused with ${error}`);
    };
  };

  const asserting = async (): Promise<() => Promise<void>> => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    const key = { ...(await exportJWK(publicKey)), alg: 'ES256', use: 'sig', kid: 'one' };
    const application = await registerApplication(server, {
      ...MACHINE,
      name: 'Machine with a key',
      authMethod: 'private_key_jwt',
      jwks: { keys: [key] },
    });
    return async () => {
      const assertion = await new SignJWT({ jti: randomToken(12) })
        .setProtectedHeader({ alg: 'ES256', kid: 'one' })
        .setIssuer(application.clientId)
        .setSubject(application.clientId)
        .setAudience(server.issuer)
        .setIssuedAt()
        .setExpirationTime('5m')
        .sign(privateKey);
      const { error, wasCutOff } = await untilAnswered('assertion', (init) =>
        tokenRequest(
          server,
          application,
          {
            grant_type: 'client_credentials',
            client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
            client_assertion: assertion,
          },
          init,
        ),
      );
      // Its first use may have been recorded when the connection broke: then it is spent, and the next one is new.
      if (error && !(wasCutOff && error === 'invalid_client')) surprise('assertion', `refused with ${error}`);
    };
  };

  const signedInBrowser = async () => {
    const application = await registerApplication(server);
    const credentials = await registerPerson(server);
    const person = createPerson(server.issuer);
    const grant = await untilAuthorized('sign-in', application, person, credentials);
    const tokens = grant && (await redeemAll(application, grant));
    if (!tokens) throw new Error(`the load could not begin: ${surprises.join('\n')}`);
    return { application, credentials, person, tokens };
  };

  const refreshing = async (): Promise<() => Promise<void>> => {
    const { application, tokens } = await signedInBrowser();
    let current = tokens.refresh_token ?? '';
    return async () => {
      const { tokens: next, error } = await untilAnswered(
        'refresh',
        (init) => refresh(server, application, current, init),
        current,
      );
      if (error) {
        surprise('refresh', `refused with ${error}`);
        throw new Error('this family has ended');
      }
      current = next?.refresh_token ?? '';
    };
  };

  /** A browser that is signed in and stays so. */
  const returning = async (): Promise<() => Promise<void>> => {
    const { person } = await signedInBrowser();
    const application = await registerApplication(server, {
      grantTypes: ['authorization_code'],
      scopes: ['openid'],
    });
    return async () => {
      const grant = await untilAuthorized('authorize', application, person);
      if (grant) await redeemAll(application, grant);
    };
  };

  /** A browser that is signed in and signs in once more, for which its session changes its id. */
  const renewing = async (): Promise<() => Promise<void>> => {
    const { application, credentials, person } = await signedInBrowser();
    return async () => {
      for (const operation of ['renew', 'authorize'] as const) {
        const grant = await untilAuthorized(operation, application, person, credentials);
        if (grant) await redeemAll(application, grant);
      }
    };
  };

  const arriving = async (): Promise<() => Promise<void>> => {
    const application = await registerApplication(server);
    const credentials = await registerPerson(server);
    return async () => {
      const grant = await untilAuthorized('sign-in', application, createPerson(server.issuer), credentials);
      if (grant) await redeemAll(application, grant);
    };
  };

  const kinds = [machine, asserting, refreshing, returning, arriving, renewing];
  const works: (() => Promise<void>)[] = [];
  for (const kind of kinds) for (let count = 0; count < clients; count += 1) works.push(await kind());

  const running = works.map(async (work) => {
    while (!course.isOver) {
      await work();
      await delay(pauseMs);
    }
  });
  for (const work of running) work.catch((error: unknown) => surprises.push(String(error)));
  const ended = Promise.allSettled(running);

  return {
    noted,
    received,
    refusedCodes,
    surprises,
    done,
    abandon: () => {
      course.isOver = true;
      course.isAbandoned = true;
    },
    finish: async (withinMs = 60_000) => {
      course.isOver = true;
      const late = delay(withinMs, 'late', { ref: false });
      if ((await Promise.race([ended, late])) === 'late') surprises.push('somebody never came to an end');
    },
  };
}

const PARAMETERS = {
  authorize: { prompt: 'none', scope: 'openid' },
  'sign-in': {},
  renew: { prompt: 'login', scope: 'openid' },
} as const;

const MACHINE = {
  grantTypes: ['client_credentials'],
  redirectUris: [],
  scopes: [],
} satisfies Partial<Parameters<typeof registerApplication>[1]>;

function noteOf(headers: Headers, error: unknown): Partial<Noted> {
  const retryAfter = headers.get('retry-after');
  const requestId = headers.get('x-request-id');
  return {
    ...(typeof error === 'string' ? { error } : {}),
    ...(retryAfter === null ? {} : { retryAfter }),
    ...(requestId === null ? {} : { requestId }),
  };
}

function errorOf(query: URLSearchParams): Partial<Noted> {
  const error = query.get('error');
  return error === null ? {} : { error };
}

function textOf(html: string): string {
  return html
    .replaceAll(/<(style|head)[\s\S]*?<\/\1>/g, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ');
}
