/** Requests that nobody thought of: never a fault of ours, never a look inside, never silence. */
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';

import { GRANT_TYPES } from '../../src/clients/client.ts';
import {
  authorizationRequest,
  authorize,
  basicOf,
  codeOf,
  OPERATOR,
  redeem,
  registerApplication,
  signedIn,
  type Application,
} from '../support/application.ts';
import { asked } from '../support/ciba.ts';
import { startDevice } from '../support/devices.ts';
import { startDocumentHost, type DocumentHost } from '../support/document-host.ts';
import { startGatehouse, type StoreKind, type TestServer } from '../support/gatehouse.ts';
import { generatedRequest, type Treasures } from '../support/generated-requests.ts';
import { oddClientSettings, prepareOddClients, type OddClients } from '../support/odd-clients.ts';
import { register } from '../support/registration.ts';
import { sendRaw, type RawAnswer, type RawRequest } from '../support/raw-http.ts';

/** The same requests in every run of the suite; another seed is another set. */
const SEED = 20_261_122;
const RUNS = 1_500;
const PATIENCE_MS = 20_000;
const API = 'https://api.example';
const PAGES = [
  '/',
  '/interaction/someone',
  '/interaction/someone/login',
  '/account',
  '/account/callback',
  '/account/approvals',
  '/account/sessions',
  '/account/applications',
  '/account/applications/withdraw',
  '/account/approvals/someone',
  '/oauth/register/someone',
  '/oauth/resource-metadata',
  '/oauth/logout/confirm',
  '/oauth/logout/success',
  '/oauth/nothing',
];
/** The forms of an interaction. */
const STEPS = [
  '',
  '/login',
  '/totp',
  '/recovery-code',
  '/enrol',
  '/recovery-codes',
  '/recovery-codes/renew',
  '/access',
  '/switch',
  '/consent',
];
/** Types of events and reasons that only such clients come to. */
const REACHED_BY_ODD_CLIENTS = [
  'client.document_read',
  'its host is not in registration.documentHosts',
  'it holds user information',
  'what the proxy passed on is no certificate',
];
const INSIDE =
  /node_modules|\.ts:\d+|\bat (?:async )?[\w.<>]+ \(|\bselect\b .*\bfrom\b|\binsert into\b|ECONN|postgres:|"stack"/i;

jest.setTimeout(300_000);

let documents: DocumentHost;
beforeAll(async () => {
  documents = await startDocumentHost();
});
afterAll(() => documents.stop());

describe.each<StoreKind>(['postgres', 'redis'])('on %s', (store) => {
  let server: TestServer;
  let targets: string[];
  let situation: Situation;
  /** By their request ids: which they were. */
  const refused = new Map<string, string>();
  /** How often each path was asked for. */
  const reached = new Map<string, number>();
  beforeAll(async () => {
    server = await startGatehouse({
      store,
      env: {
        ...oddClientSettings(documents),
        GATEHOUSE_REGISTRATION_ENABLED: 'true',
        GATEHOUSE_REGISTRATION_OPEN: 'true',
      },
    });
    situation = await prepare(server);
    targets = [...(await endpointsOf(server)), ...PAGES, ...situation.targets];
  });
  afterAll(() => server.stop());

  it('whatever is asked is answered, and nothing is our fault', async () => {
    await fc.assert(
      fc.asyncProperty(generatedRequest(targets, situation.treasures, situation.odd), async (request) => {
        const answer = await faultlessAnswer(server, request, refused);
        const path = request.target.split('?')[0]!;
        reached.set(path, (reached.get(path) ?? 0) + 1);
        expect(answer.headers['x-request-id']).toEqual(expect.any(String));
      }),
      { seed: SEED, numRuns: RUNS },
    );
  });

  it('every endpoint was asked', () => {
    expect(targets.filter((target) => (reached.get(target) ?? 0) < 5)).toEqual([]);
  });

  it('whatever was refused is on record, with its reason', async () => {
    expect(refused.size).toBeGreaterThan(RUNS / 4);
    await expectRecorded(server, refused);
  });

  it('clients got as far as their documents and certificates', async () => {
    const { rows } = await server.state.db.query<{ what: string }>(
      `select distinct coalesce(payload->>'reason', type) as what from audit_events`,
    );
    const found = new Set(rows.map(({ what }) => what));
    expect(REACHED_BY_ODD_CLIENTS.filter((what) => !found.has(what))).toEqual([]);
  });

  it('afterwards people sign in as before, and no fault is on record', async () => {
    const { application, person, credentials } = situation;
    const request = authorizationRequest(server, application);
    const code = codeOf(await authorize(person, request, credentials));
    expect((await redeem(server, application, { code, verifier: request.verifier })).status).toBe(200);
    expect((await server.subjects.audit.list({ types: ['server.error'] })).events).toEqual([]);
  });
});

/** There the authorization and the sign-out endpoint take forms too (OpenID Connect Core §3.1.2.1). */
it('nothing is our fault at an https issuer with a path either', async () => {
  const server = await startGatehouse({
    env: { ...oddClientSettings(documents), GATEHOUSE_ISSUER: 'https://id.example/tenant' },
  });
  try {
    const { clientId, secret = '', redirectUri } = await registerApplication(server);
    const treasures = {
      client_id: clientId,
      client_secret: secret,
      redirect_uri: redirectUri,
      code_challenge: 'x'.repeat(43),
      resource: API,
      basic: 'eDp5',
      cookie: 'a=b',
    };
    const endpoints =
      'token introspect revoke backchannel device_authorization par authorize userinfo logout resource-metadata';
    const targets = endpoints.split(' ').map((name) => `/tenant/oauth/${name}`);
    targets.push(
      '/tenant/device',
      '/tenant/interaction/someone/login',
      '/tenant/interaction/someone/consent',
    );
    const odd = await prepareOddClients(server, documents, redirectUri);
    const refused = new Map<string, string>();
    const statuses = new Set<string>();
    await fc.assert(
      fc.asyncProperty(generatedRequest(targets, treasures, odd), async (request) => {
        const { status } = await faultlessAnswer(server, request, refused);
        statuses.add(`${request.method} ${request.target.split('?')[0]!} ${status}`);
      }),
      { seed: SEED, numRuns: RUNS / 3 },
    );
    expect([...statuses]).toContain('POST /tenant/oauth/authorize 303');
    expect(refused.size).toBeGreaterThan(RUNS / 12);
    await expectRecorded(server, refused);
    const { events } = await server.subjects.audit.list({ types: ['server.error'] });
    expect(events).toEqual([]);
  } finally {
    await server.stop();
  }
});

/** @param refused where it is put down, by the id of the request, if it is a refusal */
async function faultlessAnswer(
  server: TestServer,
  request: RawRequest,
  refused: Map<string, string>,
): Promise<RawAnswer> {
  const answer = await answerTo(server, request);
  const { status, headers, body } = answer;
  expect(status >= 500 ? `${status} ${body}` : 'no fault').toBe('no fault');
  expect(headers.location ?? '').not.toContain('error=server_error');
  expect(body).not.toMatch(INSIDE);
  if (isRefusal(answer)) {
    refused.set(String(headers['x-request-id']), `${request.method} ${request.target}: ${status} ${body}`);
  }
  return answer;
}

/** @param refused by the ids of their requests: which they were, with what was answered */
async function expectRecorded(server: TestServer, refused: ReadonlyMap<string, string>): Promise<void> {
  const { rows } = await server.state.db.query<Recorded & { request_id: string }>(
    `select request_id, type, payload from audit_events where request_id = any ($1) and outcome = 'failure'`,
    [[...refused.keys()]],
  );
  const recorded = new Set(rows.map((row) => row.request_id));
  expect([...refused].filter(([id]) => !recorded.has(id)).map(([, what]) => what)).toEqual([]);
  expect(rows.filter((row) => !hasReason(row))).toEqual([]);
  expect(rows.filter((row) => tellsReason(row, refused.get(row.request_id)!))).toEqual([]);
}

interface Recorded {
  type: string;
  payload: { error?: string; reason?: string };
}

/** In words, or by an error or type that is one. */
function hasReason({ type, payload: { error, reason } }: Recorded): boolean {
  if (reason !== undefined || /\.(replayed|\w*throttled)$/.test(type)) return true;
  return error !== undefined && !/^(http_\d+|invalid_\w+|access_denied|unauthorized_client)$/.test(error);
}

/** Who proves nothing is told nothing of why. */
function tellsReason({ payload: { error = '', reason } }: Recorded, answer: string): boolean {
  return /^invalid_(client|grant)$/.test(error) && reason !== undefined && answer.includes(reason);
}

type Situation = Awaited<ReturnType<typeof signedIn>> & {
  treasures: Treasures;
  odd: OddClients;
  /** The forms of an interaction that is under way, and a client that may be managed. */
  targets: string[];
};

/** Somebody who signed in, and everything that an attacker could have got hold of. */
async function prepare(server: TestServer): Promise<Situation> {
  await server.subjects.apis.create(
    { identifier: API, name: 'API', permissions: [{ name: 'read', description: 'Read' }] },
    OPERATOR,
  );
  const situation = await signedIn(server, {
    postLogoutRedirectUris: ['https://app.example/bye'],
    grantTypes: [...GRANT_TYPES],
    tokenExchangeAudiences: [API],
    tokenExchangeModes: ['impersonation', 'delegation'],
  });
  const { application, tokens, person, credentials } = situation;
  const request = authorizationRequest(server, application);
  const code = codeOf(await authorize(person, request, credentials));
  const page = await person.open(authorizationRequest(server, application, { prompt: 'login' }).url);
  const cookie = [...person.cookies].map(([key, { value }]) => `${key.split(';')[0]}=${value}`).join('; ');
  const device = await startDevice(server, application);
  const registered = await register(server, undefined, {
    client_name: 'Assistant',
    redirect_uris: ['http://127.0.0.1:9/callback'],
    token_endpoint_auth_method: 'none',
  });
  return {
    ...situation,
    odd: await prepareOddClients(server, documents, application.redirectUri),
    targets: [
      ...STEPS.map((step) => page.url.pathname + step),
      new URL(device.verification_uri).pathname,
      new URL(String(registered.body['registration_client_uri'])).pathname,
    ],
    treasures: {
      client_id: application.clientId,
      client_secret: application.secret!,
      basic: basicOf(application).slice('Basic '.length),
      redirect_uri: application.redirectUri,
      code,
      code_verifier: request.verifier,
      code_challenge: new URL(request.url).searchParams.get('code_challenge')!,
      access_token: tokens.access_token,
      refresh_token: tokens.refresh_token!,
      token: tokens.access_token,
      subject_token: tokens.access_token,
      id_token_hint: tokens.id_token!,
      login_hint: credentials.email,
      identifier: credentials.email,
      resource: API,
      audience: API,
      device_code: device.device_code,
      user_code: device.user_code,
      auth_req_id: (await asked(server, application, { login_hint: credentials.email })).auth_req_id,
      request_uri: await requestUriOf(server, application),
      registration_token: String(registered.body['registration_access_token']),
      password: credentials.password,
      post_logout_redirect_uri: 'https://app.example/bye',
      cookie,
    },
  };
}

async function requestUriOf(server: TestServer, application: Application): Promise<string> {
  const response = await fetch(`${server.issuer}/oauth/par`, {
    method: 'POST',
    headers: { authorization: basicOf(application) },
    body: new URL(authorizationRequest(server, application).url).searchParams,
  });
  return ((await response.json()) as { request_uri: string }).request_uri;
}

async function endpointsOf({ issuer }: TestServer): Promise<string[]> {
  const places = ['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server'];
  const response = await fetch(`${issuer}${places[0]}`);
  const published = Object.entries((await response.json()) as Record<string, unknown>)
    .filter(([name]) => name.endsWith('_endpoint') || name === 'jwks_uri')
    .map(([, url]) => new URL(String(url)).pathname);
  return [...places, ...published];
}

/** Nothing at an address is none, for anybody could fill the log with it; nor is "not yet". */
function isRefusal({ status, headers, body }: RawAnswer): boolean {
  if (body.includes('"authorization_pending"')) return false;
  if (status >= 400 && status !== 404) return true;
  return status === 303 && /[?&#]error=/.test(headers.location ?? '');
}

/** @throws Error where nothing comes back in time */
async function answerTo(server: TestServer, request: RawRequest): Promise<RawAnswer> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('no answer')), PATIENCE_MS);
  });
  try {
    return await Promise.race([sendRaw(server, request), silence]);
  } finally {
    clearTimeout(timer);
  }
}
