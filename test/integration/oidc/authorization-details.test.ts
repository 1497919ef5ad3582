import { createHash } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CompactSign, decodeJwt, SignJWT } from 'jose';
import * as oauth from 'oauth4webapi';
import * as openid from 'openid-client';

import type { NewClient } from '../../../src/clients/service.ts';
import { randomToken } from '../../../src/platform/ids.ts';
import {
  machineToken,
  refreshFor,
  refusalOf,
  registerApi,
  registerMachine,
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
  registerApplication,
  registerPerson,
  tokenRequest,
  type Application,
  type AuthorizationRequest,
} from '../../support/application.ts';
import { enterCode, pollDevice, registerDevice, startDevice } from '../../support/devices.ts';
import { eventually } from '../../support/eventually.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person, type Visited } from '../../support/person.ts';
import { generateKey } from '../../support/relying-party.ts';

let server: TestServer;
let bank: RegisteredApi;
let vault: RegisteredApi;
let payment: string;
let statement: string;
let vaultType: string;

const FIELDS = [
  { name: 'instructedAmount', kind: 'amount', label: 'Amount', required: true },
  { name: 'creditorName', kind: 'text', label: 'To', required: true, maxLength: 70 },
  {
    name: 'creditorAccount',
    kind: 'group',
    label: 'Account',
    fields: [{ name: 'iban', kind: 'text', label: 'IBAN', required: true }],
  },
  {
    name: 'actions',
    kind: 'choices',
    label: 'What it may do',
    choices: [
      { value: 'initiate', label: 'Start the payment' },
      { value: 'status', label: 'See how far it is' },
    ],
  },
];

const unique = (name: string): string => `${name}-${randomToken(6)}`;

beforeAll(async () => {
  server = await startGatehouse();
  [bank, vault] = await Promise.all([
    registerApi(server, { name: 'Example Bank' }),
    registerApi(server, { name: 'Vault', accessTokenFormat: 'opaque' }),
  ]);
  const { authorizationTypes } = server.subjects;
  [payment, statement, vaultType] = [unique('payment'), unique('statement'), unique('vault')];
  await authorizationTypes.create(
    { type: payment, api: bank.identifier, name: 'Make a payment', fields: FIELDS },
    OPERATOR,
  );
  await authorizationTypes.create(
    {
      type: statement,
      api: bank.identifier,
      name: 'See your statements',
      fields: [{ name: 'since', kind: 'date', label: 'Since', required: true }],
      isRemembered: true,
    },
    OPERATOR,
  );
  await authorizationTypes.create(
    {
      type: vaultType,
      api: vault.identifier,
      name: 'Open the vault',
      fields: [{ name: 'actions', kind: 'texts', label: 'Doors', required: true }],
    },
    OPERATOR,
  );
});
afterAll(() => server.stop());

interface Detail {
  type: string;
  [field: string]: unknown;
}

const aPayment = (overrides: Record<string, unknown> = {}): Detail => ({
  type: payment,
  instructedAmount: { currency: 'EUR', amount: '1234.50' },
  creditorName: 'Merchant A',
  creditorAccount: { iban: 'DE02100100109307118603' },
  actions: ['initiate', 'status'],
  ...overrides,
});

function registerPayer(overrides: Partial<NewClient> = {}): Promise<Application> {
  return registerApplication(server, {
    authorizationDetailsTypes: [payment, statement, vaultType],
    firstParty: false,
    consent: 'once',
    ...overrides,
  });
}

interface Visitor {
  application: Application;
  person: Person;
  credentials: Awaited<ReturnType<typeof registerPerson>>;
}

async function registerVisitor(overrides: Partial<NewClient> = {}): Promise<Visitor> {
  return {
    application: await registerPayer(overrides),
    person: createPerson(server.issuer),
    credentials: await registerPerson(server),
  };
}

/** To the page that asks, or to the application. */
async function ask(
  { application, person, credentials }: Visitor,
  details: unknown,
  parameters: Record<string, string | undefined> = {},
): Promise<{ page: Visited; verifier: string }> {
  const text = typeof details === 'string' ? details : JSON.stringify(details);
  const request = authorizationRequest(server, application, {
    scope: undefined,
    nonce: undefined,
    ...parameters,
    authorization_details: text,
  });
  return { page: await authorize(person, request, credentials), verifier: request.verifier };
}

const allow = ({ person }: Visitor, page: Visited): Promise<Visited> =>
  person.submit(page, { decision: 'allow' }, '/consent');

async function codeFor(
  visitor: Visitor,
  details: unknown,
  parameters: Record<string, string | undefined> = {},
): Promise<{ code: string; verifier: string }> {
  const { page, verifier } = await ask(visitor, details, parameters);
  return { code: codeOf(await allow(visitor, page)), verifier };
}

function redeem(
  { application }: Visitor,
  { code, verifier }: { code: string; verifier: string },
  parameters: Record<string, string> = {},
): Promise<Response> {
  return tokenRequest(server, application, {
    grant_type: 'authorization_code',
    code,
    code_verifier: verifier,
    redirect_uri: application.redirectUri,
    ...parameters,
  });
}

type Granted = Awaited<ReturnType<typeof tokensOf>> & { authorization_details?: Detail[] };

const grantedOf = (response: Response): Promise<Granted> => tokensOf(response);

describe('authorization details', () => {
  it('are asked about in words, and end up in the answer, the token and its introspection', async () => {
    const visitor = await registerVisitor();
    const { page, verifier } = await ask(visitor, [aPayment()], { scope: 'openid offline_access' });
    expect(page.html).toContain('Make a payment');
    expect(page.html).toContain('At Example Bank');
    for (const [label, value] of [
      ['Amount', 'EUR 1,234.50'],
      ['To', 'Merchant A'],
      ['Account', 'IBAN: DE02100100109307118603'],
      ['What it may do', 'Start the payment'],
    ]) {
      expect(page.html).toMatch(new RegExp(`<dt>${label}</dt><dd><bdi>${value}</bdi></dd>`));
    }
    expect(page.html).not.toContain('instructedAmount');
    const code = codeOf(await allow(visitor, page));
    const tokens = await grantedOf(await redeem(visitor, { code, verifier }));
    expect(tokens.authorization_details).toEqual([aPayment()]);
    expect(decodeJwt(tokens.access_token)).toMatchObject({
      aud: bank.identifier,
      authorization_details: [aPayment()],
    });
    for (const reader of [bank.standing, visitor.application]) {
      expect(await introspect(server, reader, tokens.access_token)).toMatchObject({
        active: true,
        authorization_details: [aPayment()],
      });
    }
    const refreshed = await grantedOf(
      await refreshFor(server, visitor.application, tokens.refresh_token ?? ''),
    );
    expect(refreshed.authorization_details).toEqual([aPayment()]);
  });

  it('give no access while the person is away, where their API gives none', async () => {
    const strict = await registerApi(server, { allowOfflineAccess: false });
    const type = unique('strict');
    await server.subjects.authorizationTypes.create(
      { type, api: strict.identifier, name: 'Look in' },
      OPERATOR,
    );
    const visitor = await registerVisitor({ authorizationDetailsTypes: [type] });
    const { page, verifier } = await ask(visitor, [{ type }], { scope: 'openid offline_access' });
    expect(page.html).not.toContain('Stay connected');
    const tokens = await grantedOf(
      await redeem(visitor, { code: codeOf(await allow(visitor, page)), verifier }),
    );
    expect(tokens).toMatchObject({ authorization_details: [{ type }] });
    expect(decodeJwt(tokens.access_token).aud).toBe(strict.identifier);
  });

  it('are for an API whose tokens are opaque just as well', async () => {
    const visitor = await registerVisitor();
    const detail = { type: vaultType, actions: ['north', 'south'] };
    const tokens = await grantedOf(await redeem(visitor, await codeFor(visitor, [detail])));
    expect(tokens.authorization_details).toEqual([detail]);
    expect(await introspect(server, vault.standing, tokens.access_token)).toMatchObject({
      aud: vault.identifier,
      authorization_details: [detail],
    });
  });

  it('are told to the API that they are for, and to no other', async () => {
    const visitor = await registerVisitor();
    const door = { type: vaultType, actions: ['north'] };
    const scope = 'openid offline_access';
    const source = await codeFor(visitor, [aPayment(), door], { scope });
    const first = await grantedOf(await redeem(visitor, source, { resource: bank.identifier }));
    expect(first.authorization_details).toEqual([aPayment()]);
    const second = await grantedOf(
      await refreshFor(server, visitor.application, first.refresh_token ?? '', {
        resource: vault.identifier,
      }),
    );
    expect(second.authorization_details).toEqual([door]);
    expect(await introspect(server, vault.standing, second.access_token)).toMatchObject({
      authorization_details: [door],
    });
    // Who is signed in is told at userinfo, to a token that holds nothing of it.
    const third = await grantedOf(
      await refreshFor(server, visitor.application, second.refresh_token ?? '', { scope: 'openid' }),
    );
    expect(third.authorization_details).toBeUndefined();
    const userinfo = await fetch(`${server.issuer}/oauth/userinfo`, {
      headers: { authorization: `Bearer ${third.access_token}` },
    });
    expect(userinfo.status).toBe(200);
  });

  it('are shown to whoever connects a device, and given to the device', async () => {
    const device = await registerDevice(server, { authorizationDetailsTypes: [payment] });
    const person = createPerson(server.issuer);
    const { email: identifier, password } = await registerPerson(server);
    const details = JSON.stringify([aPayment()]);
    const started = await startDevice(server, device, { authorization_details: details });
    const entered = await enterCode(person, server, started.user_code);
    const confirmed = await person.submit(entered, { confirm: 'yes' }, '/device');
    const page = await person.submit(confirmed, { identifier, password }, '/login');
    expect(page.html).toContain('EUR 1,234.50');
    await person.submit(page, { decision: 'allow' }, '/consent');
    const tokens = await grantedOf(await pollDevice(server, device, started.device_code));
    expect(tokens.authorization_details).toEqual([aPayment()]);
  });

  it('come in a signed request as an array, and are checked there too (RFC 9101)', async () => {
    const key = await generateKey('ES256');
    const visitor = await registerVisitor({ jwks: { keys: [key.jwk] }, requestObjectSigningAlg: 'ES256' });
    const { application, person, credentials } = visitor;
    const signed = async (details: unknown): Promise<AuthorizationRequest> => {
      const request = authorizationRequest(server, application, { scope: 'openid' });
      const jwt = await new SignJWT({
        ...Object.fromEntries(new URL(request.url).searchParams),
        authorization_details: details,
      })
        .setProtectedHeader({ alg: 'ES256', kid: key.jwk.kid, typ: 'oauth-authz-req+jwt' })
        .setIssuer(application.clientId)
        .setAudience(server.issuer)
        .setIssuedAt()
        .setNotBefore('0s')
        .setExpirationTime('1m')
        .sign(key.privateKey);
      const query = new URLSearchParams({ client_id: application.clientId, request: jwt });
      return { ...request, url: `${server.issuer}/oauth/authorize?${query.toString()}` };
    };
    const request = await signed([aPayment()]);
    const page = await authorize(person, request, credentials);
    const code = codeOf(await allow(visitor, page));
    const tokens = await grantedOf(await redeem(visitor, { code, verifier: request.verifier }));
    expect(tokens.authorization_details).toEqual([aPayment()]);
    const refused = await authorize(person, await signed([aPayment({ per: 'day' })]));
    expect(refused.url.searchParams.get('error')).toBe('invalid_authorization_details');
  });

  it('that are nested without end in a signed request are no fault of ours', async () => {
    const key = await generateKey('ES256');
    const visitor = await registerVisitor({ jwks: { keys: [key.jwk] }, requestObjectSigningAlg: 'ES256' });
    const { application } = visitor;
    const now = Math.floor(Date.now() / 1000);
    const { searchParams } = new URL(authorizationRequest(server, application).url);
    const claims = {
      ...Object.fromEntries(searchParams),
      iss: application.clientId,
      aud: server.issuer,
      iat: now,
      nbf: now,
      exp: now + 60,
    };
    for (const parameter of ['authorization_details', 'claims', 'resource', 'state']) {
      const text = JSON.stringify({ ...claims, [parameter]: 'NESTED' }).replaceAll('"NESTED"', deep(12_000));
      const jwt = await new CompactSign(new TextEncoder().encode(text))
        .setProtectedHeader({ alg: 'ES256', kid: key.jwk.kid, typ: 'oauth-authz-req+jwt' })
        .sign(key.privateKey);
      const pushed = await fetch(`${server.issuer}/oauth/par`, {
        method: 'POST',
        headers: { authorization: basicOf(application) },
        body: new URLSearchParams({ client_id: application.clientId, request: jwt }),
      });
      expect([parameter, ...(await refusalOf(pushed))]).toEqual([parameter, 400, 'invalid_request_object']);
    }
    const plain = await fetch(`${server.issuer}/oauth/par`, {
      method: 'POST',
      headers: { authorization: basicOf(application) },
      body: new URLSearchParams({
        ...Object.fromEntries(searchParams),
        claims: `{"id_token":{"email":${deep(6_000)}}}`,
      }),
    });
    // What is not asked for as OIDC Core §5.5 has it is passed over.
    expect(plain.status).toBe(201);
  });

  it('are part of the question that an honest retry repeats', async () => {
    const visitor = await registerVisitor();
    const source = await codeFor(visitor, [aPayment()], { scope: 'openid offline_access' });
    const tokens = await grantedOf(await redeem(visitor, source));
    const ask = (actions: string[]): Promise<Response> =>
      refreshFor(server, visitor.application, tokens.refresh_token ?? '', {
        authorization_details: JSON.stringify([aPayment({ actions })]),
      });
    const first = await grantedOf(await ask(['status']));
    expect(await grantedOf(await ask(['status']))).toEqual(first);
    expect(await refusalOf(await ask(['initiate']))).toEqual([400, 'invalid_grant']);
  });

  it('are announced for their API (RFC 9728)', async () => {
    const url = new URL(`${server.issuer}/oauth/resource-metadata`);
    url.searchParams.set('resource', bank.identifier);
    expect(await (await fetch(url)).json()).toMatchObject({
      authorization_details_types_supported: expect.arrayContaining([payment, statement]),
    });
  });

  it('can be pushed, by libraries of others', async () => {
    const visitor = await registerVisitor();
    const { application, person } = visitor;
    const config = await openid.discovery(
      new URL(server.issuer),
      application.clientId,
      application.secret,
      undefined,
      { execute: [openid.allowInsecureRequests] },
    );
    expect(config.serverMetadata()['authorization_details_types_supported']).toEqual(
      expect.arrayContaining([payment, statement, vaultType]),
    );
    const verifier = openid.randomPKCECodeVerifier();
    const url = await openid.buildAuthorizationUrlWithPAR(config, {
      redirect_uri: application.redirectUri,
      scope: 'openid',
      code_challenge: await openid.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      authorization_details: JSON.stringify([aPayment()]),
    });
    const page = await authorize(
      person,
      { url: url.href, verifier, state: '', nonce: '' },
      visitor.credentials,
    );
    const back = await allow(visitor, page);
    const tokens = await openid.authorizationCodeGrant(config, back.url, { pkceCodeVerifier: verifier });
    expect(tokens.authorization_details).toEqual([aPayment()]);

    const as = await oauth
      .discoveryRequest(new URL(server.issuer), { [oauth.allowInsecureRequests]: true })
      .then((response) => oauth.processDiscoveryResponse(new URL(server.issuer), response));
    const client = { client_id: application.clientId };
    const response = await oauth.introspectionRequest(
      as,
      client,
      oauth.ClientSecretBasic(application.secret ?? ''),
      tokens.access_token,
      { [oauth.allowInsecureRequests]: true },
    );
    const answer = await oauth.processIntrospectionResponse(as, client, response);
    expect(answer['authorization_details']).toEqual([aPayment()]);
  });

  it('are recorded by type and keyed hash, never by value', async () => {
    const visitor = await registerVisitor();
    await grantedOf(await redeem(visitor, await codeFor(visitor, [aPayment()])));
    const { rows } = await server.database.db.query<{ type: string; payload: Record<string, unknown> }>(
      `select type, payload from audit_events where client_id = $1 and payload ? 'authorization_details'`,
      [visitor.application.clientId],
    );
    expect(new Set(rows.map(({ type }) => type))).toEqual(
      new Set(['consent.granted', 'authorization.succeeded', 'token.issued']),
    );
    expect(rows[0]?.payload['authorization_details']).toEqual([
      { type: payment, fingerprint: expect.any(String) },
    ]);
    expect(JSON.stringify(rows)).not.toMatch(/Merchant|1234/);
  });

  it('of a machine are what the operator let it ask for', async () => {
    const machine = await registerMachine(server);
    const { clients, apis } = server.subjects;
    await apis.permitClient(
      { clientId: machine.clientId, api: bank.identifier, permissions: ['read'] },
      OPERATOR,
    );
    const asked = { authorization_details: JSON.stringify([aPayment()]) };
    expect(await refusalOf(await machineToken(server, machine, asked))).toEqual([
      400,
      'invalid_authorization_details',
    ]);
    await clients.update(machine.clientId, { authorizationDetailsTypes: [payment] }, OPERATOR);
    const tokens = await grantedOf(await machineToken(server, machine, asked));
    expect(tokens.authorization_details).toEqual([aPayment()]);
    expect(decodeJwt(tokens.access_token)['authorization_details']).toEqual([aPayment()]);
  });
});

describe('a person is asked', () => {
  it('each time, even by a client that asks nobody for anything else', async () => {
    const visitor = await registerVisitor({ firstParty: true, consent: 'never' });
    for (const _ of [1, 2]) {
      const { page } = await ask(visitor, [aPayment()]);
      expect(page.html).toContain('Make a payment');
      expect((await allow(visitor, page)).isAway).toBe(true);
    }
    const { page } = await ask(visitor, [aPayment()], { prompt: 'none' });
    expect(page.url.searchParams.get('error')).toBe('consent_required');
  });

  it('once about exactly the same, where the type is remembered', async () => {
    const visitor = await registerVisitor();
    const since = (day: string): Detail[] => [{ type: statement, since: `2026-01-${day}` }];
    await codeFor(visitor, since('01'));
    const silent = await ask(visitor, since('01'), { prompt: 'none' });
    const tokens = await grantedOf(
      await redeem(visitor, { code: codeOf(silent.page), verifier: silent.verifier }),
    );
    expect(tokens.authorization_details).toEqual(since('01'));
    // In a new session too, where no grant stands yet.
    const elsewhere = { ...visitor, person: createPerson(server.issuer) };
    const again = await ask(elsewhere, since('01'));
    const anew = await grantedOf(
      await redeem(elsewhere, { code: codeOf(again.page), verifier: again.verifier }),
    );
    expect(anew.authorization_details).toEqual(since('01'));

    expect((await ask(visitor, since('02'))).page.html).toContain('2 January 2026');
    const both = await ask(visitor, [...since('01'), aPayment()]);
    expect(both.page.html).toContain('Make a payment');
  });

  it('again, once the words have changed', async () => {
    const type = unique('changing');
    const { authorizationTypes } = server.subjects;
    const fields = [{ name: 'what', kind: 'text', label: 'What' }];
    await authorizationTypes.create(
      { type, api: bank.identifier, name: 'See something', fields, isRemembered: true },
      OPERATOR,
    );
    const visitor = await registerVisitor({ authorizationDetailsTypes: [type] });
    await codeFor(visitor, [{ type, what: 'all' }]);
    expect((await ask(visitor, [{ type, what: 'all' }])).page.isAway).toBe(true);
    await authorizationTypes.update(type, { name: 'See and change something' }, OPERATOR);
    expect((await ask(visitor, [{ type, what: 'all' }])).page.html).toContain('See and change something');
  });

  it('and who says no lets nothing through', async () => {
    const visitor = await registerVisitor();
    const { page } = await ask(visitor, [aPayment()]);
    const back = await visitor.person.submit(page, { decision: 'deny' }, '/consent');
    expect(back.url.searchParams.get('error')).toBe('access_denied');
  });

  it('with hostile values shown as what they are', async () => {
    const visitor = await registerVisitor();
    const hostile = '"><script>alert(1)</script><dd>EUR 0.01';
    const { page } = await ask(visitor, [aPayment({ creditorName: hostile })]);
    expect(page.html).not.toContain('<script>alert');
    expect(page.html).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
  });
});

function push({ application }: Visitor, details: string): Promise<Response> {
  return fetch(`${server.issuer}/oauth/par`, {
    method: 'POST',
    headers: { authorization: basicOf(application) },
    body: new URLSearchParams({
      client_id: application.clientId,
      response_type: 'code',
      redirect_uri: application.redirectUri,
      code_challenge: createHash('sha256').update('x'.repeat(43)).digest('base64url'),
      code_challenge_method: 'S256',
      authorization_details: details,
    }),
  });
}

const deep = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;

describe('a request is refused', () => {
  const refused: [string, () => unknown][] = [
    ['of a type that nobody registered', () => [{ type: 'unheard-of' }]],
    ['of a type called as what objects have', () => '[{"type":"__proto__"}]'],
    ['of the type constructor', () => [{ type: 'constructor' }]],
    ['with a field that its type has not', () => [aPayment({ priority: 'high' })]],
    [
      'with a field that objects have',
      () => JSON.stringify([aPayment()]).replace('{', '{"__proto__":{"a":1},'),
    ],
    ['without a field that must be there', () => [aPayment({ creditorName: undefined })]],
    ['with a number where a text should be', () => [aPayment({ creditorName: 7 })]],
    [
      'with an amount that is a number',
      () => [aPayment({ instructedAmount: { currency: 'EUR', amount: 5 } })],
    ],
    ['with a negative amount', () => [aPayment({ instructedAmount: { currency: 'EUR', amount: '-5' } })]],
    [
      'with an amount of no currency',
      () => [aPayment({ instructedAmount: { currency: 'eur', amount: '5' } })],
    ],
    [
      'with an amount of more',
      () => [aPayment({ instructedAmount: { currency: 'EUR', amount: '5', per: 'day' } })],
    ],
    ['with a choice that is none', () => [aPayment({ actions: ['destroy'] })]],
    ['with a choice twice', () => [aPayment({ actions: ['status', 'status'] })]],
    ['with an empty list', () => [aPayment({ actions: [] })]],
    ['with a stranger in a group', () => [aPayment({ creditorAccount: { iban: 'DE02', bic: 'X' } })]],
    ['with characters that turn text round', () => [aPayment({ creditorName: 'Merchant \u202EA' })]],
    ['with a line break in a name', () => [aPayment({ creditorName: 'Merchant\nA' })]],
    ['with a text that is too long', () => [aPayment({ creditorName: 'x'.repeat(71) })]],
    ['with another place', () => [aPayment({ locations: ['https://evil.example'] })]],
    ['with a place beside the API', () => [aPayment({ locations: [`${bank.identifier}.evil.example`] })]],
    ['with the same detail twice', () => [aPayment(), { ...aPayment(), actions: ['status', 'initiate'] }]],
    [
      'with too many details',
      () => Array.from({ length: 11 }, (_, n) => aPayment({ creditorName: `M${n}` })),
    ],
    ['that is too long', () => [aPayment({ creditorAccount: { iban: 'x'.repeat(8_200) } })]],
    ['that is nested without end', () => `[{"type":"${payment}","actions":${deep(1_500)}}]`],
    [
      'with a nested one beside a good one',
      () => `[${JSON.stringify(aPayment())},{"type":"${payment}","actions":${deep(1_500)}}]`,
    ],
    ['that is no JSON', () => '[{'],
    ['that is an object', () => aPayment()],
    ['that holds no objects', () => ['payment']],
    ['with 30 February', () => [{ type: statement, since: '2026-02-30' }]],
  ];
  it.each(refused)('%s', async (_, details) => {
    const visitor = await registerVisitor();
    const given = details();
    const { page } = await ask(visitor, given);
    expect([page.isAway, page.url.searchParams.get('error')]).toEqual([
      true,
      'invalid_authorization_details',
    ]);
    const text = typeof given === 'string' ? given : JSON.stringify(given);
    expect(await refusalOf(await push(visitor, text))).toEqual([400, 'invalid_authorization_details']);
  });

  it('that is deep beyond what an address holds', async () => {
    const visitor = await registerVisitor();
    const pushed = await push(visitor, `[{"type":"${payment}","actions":${deep(6_000)}}]`);
    expect(await refusalOf(pushed)).toEqual([400, 'invalid_authorization_details']);
  });

  it('or taken, whatever it is, and never our fault', async () => {
    const visitor = await registerVisitor();
    const value = fc.jsonValue({ maxDepth: 3 });
    const detail = fc.record(
      {
        type: fc.constantFrom(payment, statement, vaultType, 'other', '__proto__'),
        locations: fc.oneof(value, fc.constant([bank.identifier])),
        actions: fc.oneof(value, fc.subarray(['initiate', 'status', 'x'])),
        instructedAmount: fc.oneof(value, fc.constant({ currency: 'EUR', amount: '1.00' })),
        creditorName: fc.oneof(value, fc.string()),
        creditorAccount: fc.oneof(value, fc.record({ iban: fc.string() })),
        since: fc.oneof(value, fc.constant('2026-01-01')),
      },
      { requiredKeys: [] },
    );
    const parameter = fc.oneof(
      fc.array(detail, { maxLength: 3 }).map((details) => JSON.stringify(details)),
      value.map((given) => JSON.stringify(given)),
      fc.string({ minLength: 1 }),
    );
    const answers = new Set<string>();
    await fc.assert(
      fc.asyncProperty(parameter, async (details) => {
        const [status, error] = await refusalOf(await push(visitor, details));
        answers.add(`${status} ${String(error)}`);
        expect([201, 400]).toContain(status);
        if (status === 400) expect(error).toBe('invalid_authorization_details');
      }),
      { seed: 20_261_122, numRuns: 150 },
    );
    expect([...answers].sort()).toEqual(['201 undefined', '400 invalid_authorization_details']);
  });

  it('by a client that was not given the type, or none', async () => {
    for (const authorizationDetailsTypes of [[statement], undefined]) {
      const visitor = await registerVisitor({
        ...(authorizationDetailsTypes && { authorizationDetailsTypes }),
      });
      if (!authorizationDetailsTypes) {
        await server.subjects.clients.update(
          visitor.application.clientId,
          { authorizationDetailsTypes: null },
          OPERATOR,
        );
      }
      const { page } = await ask(visitor, [aPayment()]);
      expect(page.url.searchParams.get('error')).toBe('invalid_authorization_details');
    }
  });

  it('for an API that its resource does not name', async () => {
    const visitor = await registerVisitor();
    const { page } = await ask(visitor, [aPayment()], { resource: vault.identifier });
    expect(page.url.searchParams.get('error')).toBe('invalid_target');
  });

  it.each<[string, () => Detail[]]>([
    ['another amount', () => [aPayment({ instructedAmount: { currency: 'EUR', amount: '9999' } })]],
    ['without a limit', () => [aPayment({ creditorAccount: undefined })]],
    ['another type', () => [{ type: statement, since: '2026-01-01' }]],
    ['one more', () => [aPayment({ actions: ['status'] }), aPayment({ creditorName: 'Merchant B' })]],
  ])('that widens what was granted: %s; and nothing is spent', async (_, wider) => {
    const visitor = await registerVisitor();
    const source = await codeFor(visitor, [aPayment({ actions: ['status'] })], {
      scope: 'openid offline_access',
    });
    const asked = { authorization_details: JSON.stringify(wider()) };
    expect(await refusalOf(await redeem(visitor, source, asked))).toEqual([
      400,
      'invalid_authorization_details',
    ]);
    const tokens = await grantedOf(await redeem(visitor, source));
    const refresh = (parameters: Record<string, string>): Promise<Response> =>
      refreshFor(server, visitor.application, tokens.refresh_token ?? '', parameters);
    expect(await refusalOf(await refresh(asked))).toEqual([400, 'invalid_authorization_details']);
    expect((await refresh({})).status).toBe(200);
  });

  it('and one that narrows it is not', async () => {
    const visitor = await registerVisitor();
    const source = await codeFor(visitor, [aPayment()], { scope: 'openid offline_access' });
    const narrower = [aPayment({ actions: ['status'] })];
    const tokens = await grantedOf(
      await redeem(visitor, source, { authorization_details: JSON.stringify(narrower) }),
    );
    expect(tokens.authorization_details).toEqual(narrower);
    const whole = await grantedOf(await refreshFor(server, visitor.application, tokens.refresh_token ?? ''));
    expect(whole.authorization_details).toEqual([aPayment()]);
  });

  it('of a person’s client that asks for itself', async () => {
    const application = await registerPayer({
      grantTypes: ['authorization_code', 'client_credentials'],
      scopes: ['openid'],
    });
    await server.subjects.apis.permitClient(
      { clientId: application.clientId, api: bank.identifier, permissions: ['read'] },
      OPERATOR,
    );
    const response = await machineToken(server, application, {
      authorization_details: JSON.stringify([aPayment()]),
    });
    expect(await refusalOf(response)).toEqual([400, 'invalid_authorization_details']);
  });
});

describe('a type that another process registers', () => {
  it('can be asked for here within moments', async () => {
    const other = await startGatehouse({ sharing: server });
    try {
      const type = unique('elsewhere');
      await other.subjects.authorizationTypes.create(
        { type, api: bank.identifier, name: 'From elsewhere' },
        OPERATOR,
      );
      const visitor = await registerVisitor({ authorizationDetailsTypes: [type] });
      await eventually(async () => {
        expect((await ask(visitor, [{ type }])).page.html).toContain('From elsewhere');
      });
    } finally {
      await other.stop();
    }
  });
});

describe('a type that is deleted', () => {
  it('is told nowhere any more, and refused', async () => {
    const type = unique('gone');
    const { authorizationTypes } = server.subjects;
    await authorizationTypes.create({ type, api: vault.identifier, name: 'Something' }, OPERATOR);
    const visitor = await registerVisitor({ authorizationDetailsTypes: [type, payment] });
    const source = await codeFor(visitor, [{ type }], { scope: 'openid offline_access' });
    const tokens = await grantedOf(await redeem(visitor, source));
    expect(tokens.authorization_details).toEqual([{ type }]);
    await authorizationTypes.delete(type, OPERATOR);
    await eventually(async () => {
      expect(await introspect(server, vault.standing, tokens.access_token)).not.toHaveProperty(
        'authorization_details',
      );
    });
    const { page } = await ask(visitor, [{ type }]);
    expect(page.url.searchParams.get('error')).toBe('invalid_authorization_details');
    const metadata = (await (await fetch(`${server.issuer}/.well-known/openid-configuration`)).json()) as {
      authorization_details_types_supported: string[];
    };
    expect(metadata.authorization_details_types_supported).not.toContain(type);
    // The client lives on with its others.
    expect((await ask(visitor, [aPayment()])).page.html).toContain('Make a payment');
  });
});
