/** Exchanges that must not be (RFC 8693 §2.2.2, §5): each is refused by the book, and its reason is on record. */
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { defineClient } from '../../src/clients/definition.ts';
import { TOKEN_EXCHANGE } from '../../src/clients/client.ts';
import { createDpopNonces } from '../../src/oidc/dpop-nonces.ts';
import {
  ask,
  machineToken,
  redeemFor,
  refusalOf,
  registerApi,
  registerMachine,
  tokensOf,
} from '../support/apis.ts';
import {
  codeOf,
  introspect,
  OPERATOR,
  registerApplication,
  tokenRequest,
  type Application,
} from '../support/application.ts';
import { makeCertificate } from '../support/certificates.ts';
import { proofKey, proven } from '../support/dpop.ts';
import {
  ACCESS_TOKEN,
  exchangeOf,
  ID_TOKEN,
  setScene,
  signInAtFront,
  type Caller,
  type Scene,
} from '../support/exchange.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import { recordedOf } from '../support/recorded.ts';

const CERTIFICATE = 'x-client-certificate';

let server: TestServer;
let scene: Scene;
let caller: Caller;
let offlineCaller: Caller;
beforeAll(async () => {
  server = await startGatehouse({
    env: {
      GATEHOUSE_MTLS_HEADER: CERTIFICATE,
      GATEHOUSE_MTLS_VERIFIED_HEADER: 'x-client-verify',
      GATEHOUSE_TRUSTED_PROXIES: '127.0.0.0/8,::1',
    },
  });
  scene = await setScene(server);
  caller = await signInAtFront(server, scene);
  offlineCaller = await signInAtFront(server, scene, { scope: 'openid offline_access read' });
});
afterAll(() => server.stop());
afterEach(() => {
  jest.restoreAllMocks();
});

function exchange(
  parameters: Record<string, string | undefined> = {},
  application: Application = scene.service,
  init: RequestInit = {},
): Promise<Response> {
  const all = { ...exchangeOf(caller.tokens.access_token, scene.vault.identifier), ...parameters };
  const given = Object.entries(all).filter(([, value]) => value !== undefined) as [string, string][];
  return tokenRequest(server, application, Object.fromEntries(given), init);
}

async function expectRefused(response: Response, error: string, reason: RegExp): Promise<void> {
  expect(await refusalOf(response.clone())).toEqual([400, error]);
  expect(await recordedOf(server, response)).toMatchObject([
    {
      type: 'token.refused',
      outcome: 'failure',
      payload: { error, grant_type: TOKEN_EXCHANGE, reason: expect.stringMatching(reason) },
    },
  ]);
}

/** Another service, with the policy of the first but for what is given. */
async function otherService(input: Parameters<typeof registerApplication>[1] = {}): Promise<Application> {
  return registerApplication(server, {
    name: 'Other service',
    kind: 'machine',
    redirectUris: [],
    grantTypes: [TOKEN_EXCHANGE, 'client_credentials'],
    scopes: [],
    firstParty: false,
    consent: 'once',
    tokenExchangeAudiences: [scene.vault.identifier],
    tokenExchangeSubjectClients: [scene.front.clientId],
    tokenExchangeModes: ['impersonation', 'delegation'],
    ...input,
  });
}

async function tokenFor(application: Application, parameters: Record<string, string> = {}): Promise<string> {
  return (await tokensOf(await machineToken(server, application, parameters))).access_token;
}

it('is possible where nothing is wrong', async () => {
  expect((await exchange()).status).toBe(200);
});

describe('a request that says', () => {
  it.each<[string, Record<string, string | undefined>, string, RegExp]>([
    [
      'no subject token',
      { subject_token: undefined, subject_token_type: undefined },
      'invalid_request',
      /required/,
    ],
    ['no type of it', { subject_token_type: undefined }, 'invalid_request', /go together/],
    ['an empty token', { subject_token: '' }, 'invalid_request', /go together/],
    [
      'that it is a refresh token',
      { subject_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' },
      'invalid_request',
      /subject_token_type/,
    ],
    [
      'that it is any JWT',
      { subject_token_type: 'urn:ietf:params:oauth:token-type:jwt' },
      'invalid_request',
      /type/,
    ],
    ['an actor without a type', { actor_token: 'x' }, 'invalid_request', /actor_token/],
    ['a type without an actor', { actor_token_type: ACCESS_TOKEN }, 'invalid_request', /actor_token/],
    [
      'that it wants a refresh token',
      { requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' },
      'invalid_request',
      /requested_token_type/,
    ],
    [
      'that it wants an ID token',
      { requested_token_type: ID_TOKEN },
      'invalid_request',
      /requested_token_type/,
    ],
    ['no API', { audience: undefined }, 'invalid_target', /one API/],
    ['two APIs', { resource: 'https://other.example' }, 'invalid_target', /one API/],
    [
      'an API that the policy does not name',
      { audience: 'https://other.example' },
      'invalid_target',
      /policy/,
    ],
    ['a client as the audience', { audience: 'CLIENT' }, 'invalid_target', /policy/],
    ['that the token is another kind', { subject_token_type: ID_TOKEN }, 'invalid_request', /ID token/],
  ])('%s is refused', async (_name, parameters, error, reason) => {
    if (parameters['audience'] === 'CLIENT') parameters['audience'] = scene.front.clientId;
    await expectRefused(await exchange(parameters), error, reason);
  });

  it('the subject token twice is refused', async () => {
    const body = new URLSearchParams(exchangeOf(caller.tokens.access_token, scene.vault.identifier));
    body.append('subject_token', caller.tokens.access_token);
    const response = await fetch(`${server.issuer}/oauth/token`, {
      method: 'POST',
      headers: {
        authorization: `Basic ${btoa(`${scene.service.clientId}:${scene.service.secret}`)}`,
      },
      body,
    });
    expect(await refusalOf(response)).toEqual([400, 'invalid_request']);
  });
});

describe('a token that is', () => {
  it.each<[string, () => Promise<string> | string, RegExp]>([
    ['nonsense', () => 'nonsense', /no live access token/],
    ['a refresh token', () => caller.tokens.refresh_token!, /no live access token/],
    ['an ID token', () => caller.tokens.id_token!, /no live access token/],
    [
      'a machine’s',
      () => tokenFor(scene.service, { resource: scene.vault.identifier }),
      /no live access token/,
    ],
    [
      'signed by nobody here',
      () => `${caller.tokens.access_token.split('.').slice(0, 2).join('.')}.${'A'.repeat(342)}`,
      /no live access token/,
    ],
  ])('%s is refused', async (_name, token, reason) => {
    await expectRefused(await exchange({ subject_token: await token() }), 'invalid_request', reason);
  });

  it.each(['jwt', 'opaque'] as const)(
    'a %s one for an API that the client does not stand for is refused',
    async (format) => {
      const its = await setScene(server, { ledger: { accessTokenFormat: format } });
      const { tokens } = await signInAtFront(server, its);
      await server.subjects.clients.update(
        scene.service.clientId,
        { tokenExchangeSubjectClients: [scene.front.clientId, its.front.clientId] },
        OPERATOR,
      );
      await expectRefused(
        await exchange({ subject_token: tokens.access_token }),
        'invalid_request',
        /does not stand for/,
      );
    },
  );

  it('for userinfo is nothing that an API should hold', async () => {
    const asked = await ask(server, caller, { scope: 'openid' });
    const { access_token: token } = await tokensOf(await redeemFor(server, scene.front, asked));
    await expectRefused(await exchange({ subject_token: token }), 'invalid_request', /does not stand for/);
  });

  it('issued to a client that the policy does not name is refused', async () => {
    const stranger = await registerApplication(server);
    const asked = await ask(
      server,
      { ...caller, application: stranger },
      {
        resource: scene.ledger.identifier,
        scope: 'openid read',
      },
    );
    const { access_token: token } = await tokensOf(
      await redeemFor(server, stranger, asked, scene.ledger.identifier),
    );
    await expectRefused(await exchange({ subject_token: token }), 'invalid_request', /does not name/);
  });

  it('expired is refused', async () => {
    const its = await setScene(server, {
      ledger: { accessTokenFormat: 'opaque', accessTokenTtlSeconds: 30 },
    });
    const { tokens } = await signInAtFront(server, its);
    const now = Date.now();
    jest.spyOn(Date, 'now').mockImplementation(() => now + 40_000);
    await expectRefused(
      await tokenRequest(server, its.service, exchangeOf(tokens.access_token, its.vault.identifier)),
      'invalid_request',
      /no live access token/,
    );
  });
});

describe('a client', () => {
  it('without the grant type is refused', async () => {
    const plain = await registerMachine(server);
    await expectRefused(await exchange({}, plain), 'unauthorized_client', /not allowed/);
  });

  it.each([
    ['impersonate', ['delegation'], {}],
    ['delegate', ['impersonation'], { actor: true }],
  ] as const)('that may not %s is refused', async (_name, modes, { actor }: { actor?: boolean }) => {
    const its = await setScene(server, { service: { tokenExchangeModes: [...modes] } });
    const { tokens } = await signInAtFront(server, its);
    const parameters = exchangeOf(tokens.access_token, its.vault.identifier);
    const acting: Record<string, string> = actor
      ? {
          actor_token: await tokenFor(its.service, { resource: its.vault.identifier }),
          actor_token_type: ACCESS_TOKEN,
        }
      : {};
    await expectRefused(
      await tokenRequest(server, its.service, { ...parameters, ...acting }),
      'unauthorized_client',
      /may not exchange tokens by/,
    );
  });

  it('that took the token from another service is refused', async () => {
    await expectRefused(await exchange({}, await otherService()), 'invalid_request', /does not stand for/);
  });

  it('that requires a second factor or a role is reached by no other way', async () => {
    for (const [demand, reason] of [
      [{ requireMfa: true }, /second factor/],
      [{ requireRole: 'treasurer' }, /lacks the role/],
    ] as const) {
      const its = await setScene(server, { service: demand });
      const { tokens } = await signInAtFront(server, its);
      await expectRefused(
        await tokenRequest(server, its.service, exchangeOf(tokens.access_token, its.vault.identifier)),
        'invalid_request',
        reason,
      );
    }
  });

  it.each([
    [
      'a public one',
      {
        redirectUris: ['https://app.example/cb'],
        isPublic: true,
        grantTypes: ['authorization_code', TOKEN_EXCHANGE],
      },
      /public client/,
    ],
    ['one without a policy', { grantTypes: [TOKEN_EXCHANGE] }, /needs its policy/],
    [
      'one with a policy and without the grant type',
      { tokenExchangeAudiences: ['https://api.example'] },
      /grant type/,
    ],
  ] as const)('%s cannot be registered', (_name, input, message) => {
    expect(() => defineClient({ name: 'Client', ...(input as object) })).toThrow(message);
  });
});

it('leads no further at its own API by a way round another', async () => {
  await server.subjects.apis.permitClient(
    { clientId: scene.service.clientId, api: scene.ledger.identifier, permissions: ['read', 'write'] },
    OPERATOR,
  );
  const { access_token: there } = await tokensOf(await exchange());
  const back = exchangeOf(there, scene.ledger.identifier);
  expect((await tokensOf(await tokenRequest(server, scene.service, back))).scope).toBe('read');
  await expectRefused(
    await tokenRequest(server, scene.service, { ...back, scope: 'write' }),
    'invalid_scope',
    /does not reach so far/,
  );
});

describe('an actor', () => {
  const withActor = (actorToken: string): Promise<Response> =>
    exchange({ actor_token: actorToken, actor_token_type: ACCESS_TOKEN });

  it('who is another client is refused', async () => {
    const other = await otherService();
    await server.subjects.apis.permitClient(
      { clientId: other.clientId, api: scene.vault.identifier, permissions: ['read'] },
      OPERATOR,
    );
    await expectRefused(
      await withActor(await tokenFor(other, { resource: scene.vault.identifier })),
      'invalid_request',
      /another client/,
    );
  });

  it('who is a person at another client is refused', async () => {
    await expectRefused(
      await withActor(offlineCaller.tokens.access_token),
      'invalid_request',
      /another client/,
    );
  });

  it.each([
    ['nonsense', () => 'nonsense'],
    ['the subject’s refresh token', () => caller.tokens.refresh_token!],
  ])('who shows %s is refused', async (_name, token) => {
    await expectRefused(await withActor(token()), 'invalid_request', /no live/);
  });
});

describe('access while the person is away', () => {
  it('is not to be had at an API that gives none', async () => {
    const token = offlineCaller.tokens.access_token;
    expect((await exchange({ subject_token: token })).status).toBe(200);
    await server.subjects.apis.update(scene.vault.identifier, { allowOfflineAccess: false }, OPERATOR);
    try {
      await expectRefused(await exchange({ subject_token: token }), 'invalid_target', /away/);
      expect((await exchange()).status).toBe(200);
    } finally {
      await server.subjects.apis.update(scene.vault.identifier, { allowOfflineAccess: true }, OPERATOR);
    }
  });
});

/** The front may exchange what is its own. */
async function tokenWith(init: RequestInit, type: string): Promise<string> {
  await server.subjects.clients.update(
    scene.front.clientId,
    {
      grantTypes: ['authorization_code', 'refresh_token', TOKEN_EXCHANGE],
      tokenExchangeAudiences: [scene.ledger.identifier],
      tokenExchangeModes: ['impersonation'],
    },
    OPERATOR,
  );
  const asked = await ask(server, caller, { resource: scene.ledger.identifier, scope: 'openid read' });
  const response = await tokenRequest(
    server,
    scene.front,
    {
      grant_type: 'authorization_code',
      code: codeOf(asked.visited),
      code_verifier: asked.verifier,
      redirect_uri: scene.front.redirectUri,
      resource: scene.ledger.identifier,
    },
    init,
  );
  const tokens = await tokensOf(response);
  expect(tokens.token_type).toBe(type);
  return tokens.access_token;
}

describe('a token that is bound to a certificate', () => {
  const proxied = (pem: string): RequestInit => ({
    headers: { [CERTIFICATE]: encodeURIComponent(pem), 'x-client-verify': 'SUCCESS' },
  });
  const update = (isBound: boolean): Promise<unknown> =>
    server.subjects.clients.update(
      scene.front.clientId,
      { tlsClientCertificateBoundAccessTokens: isBound || null },
      OPERATOR,
    );

  it('is exchanged with that certificate only, and what is given is bound to it', async () => {
    const [own, other] = [makeCertificate(), makeCertificate()];
    await update(true);
    try {
      const token = await tokenWith(proxied(own.pem), 'Bearer');
      const narrow = (init: RequestInit = {}): Promise<Response> =>
        exchange({ subject_token: token, audience: scene.ledger.identifier }, scene.front, init);
      const { access_token: given } = await tokensOf(await narrow(proxied(own.pem)));
      const { cnf } = await introspect(server, scene.front, given);
      expect(cnf).toEqual({ 'x5t#S256': expect.any(String) });
      expect((await introspect(server, scene.front, token))['cnf']).toEqual(cnf);
      await expectRefused(await narrow(), 'invalid_request', /certificate/);
      await expectRefused(await narrow(proxied(other.pem)), 'invalid_request', /certificate/);
      await expectRefused(await narrow(proxied('nonsense')), 'invalid_grant', /no certificate/);
    } finally {
      await update(false);
    }
  });
});

describe('a token that is bound to a key', () => {
  /** The front exchanges tokens of its own, for only it has the key. */
  async function boundToken({ withNonce = false } = {}) {
    const key = await proofKey();
    const nonce = createDpopNonces(server.state.sealer.deriveKey('dpop nonces')).next();
    const token = await tokenWith(await proven(server.issuer, key, withNonce ? { nonce } : {}), 'DPoP');
    return { key, token };
  }
  const nonceIn = ({ headers }: Response): string => headers.get('dpop-nonce') ?? '';
  const narrow = (token: string, init: RequestInit = {}): Promise<Response> =>
    exchange({ subject_token: token, audience: scene.ledger.identifier }, scene.front, init);

  it('is exchanged with its proof, and what is given is bound to the same key', async () => {
    const { key, token } = await boundToken();
    const tokens = await tokensOf(await narrow(token, await proven(server.issuer, key)));
    expect(tokens.token_type).toBe('DPoP');
  });

  it('is refused without it, with that of another key, and with one that was used', async () => {
    const { key, token } = await boundToken();
    await expectRefused(await narrow(token), 'invalid_request', /bound to a key/);
    await expectRefused(
      await narrow(token, await proven(server.issuer, await proofKey())),
      'invalid_request',
      /bound to a key/,
    );
    const proof = await proven(server.issuer, key);
    expect((await narrow(token, proof)).status).toBe(200);
    await expectRefused(await narrow(token, proof), 'invalid_grant', /Replay/);
    await expectRefused(
      await narrow(token, await proven('https://elsewhere.example', key)),
      'invalid_dpop_proof',
      /htu/,
    );
    await expectRefused(
      await narrow(token, { headers: { dpop: 'nonsense' } }),
      'invalid_dpop_proof',
      /JWS|Invalid/,
    );
  });

  describe('whose client must show nonces', () => {
    beforeAll(() =>
      server.subjects.clients.update(scene.front.clientId, { requireDpopNonce: true }, OPERATOR),
    );
    afterAll(() =>
      server.subjects.clients.update(scene.front.clientId, { requireDpopNonce: null }, OPERATOR),
    );

    it('is exchanged with the one that the client is told', async () => {
      const { key, token } = await boundToken({ withNonce: true });
      const refused = await narrow(token, await proven(server.issuer, key));
      await expectRefused(refused, 'use_dpop_nonce', /nonce is required/);
      const nonce = nonceIn(refused);
      expect((await narrow(token, await proven(server.issuer, key, { nonce }))).status).toBe(200);
      const proof = await proven(server.issuer, key, { nonce, iat: 1 });
      expect((await narrow(token, proof)).status).toBe(200);
      await expectRefused(await narrow(token, proof), 'invalid_grant', /Replay/);
    });

    it('is exchanged with the nonce of another grant, whose nonces are those of exchanges', async () => {
      const { key, token } = await boundToken({ withNonce: true });
      const redeemedWith = async (nonce?: string): Promise<Response> =>
        tokenRequest(
          server,
          scene.front,
          { grant_type: 'authorization_code', code: 'none', redirect_uri: scene.front.redirectUri },
          await proven(server.issuer, key, nonce === undefined ? {} : { nonce }),
        );
      const nonce = nonceIn(await redeemedWith());
      expect((await narrow(token, await proven(server.issuer, key, { nonce }))).status).toBe(200);
      const own = nonceIn(await narrow(token, await proven(server.issuer, key)));
      expect(await refusalOf(await redeemedWith(own))).toEqual([400, 'invalid_grant']);
    });

    it.each([
      ['that we never gave', () => 'nonsense'],
      [
        'of five minutes ago',
        () => createDpopNonces(server.state.sealer.deriveKey('dpop nonces')).next(),
        300,
      ],
    ])('is refused with a nonce %s', async (_name, nonceOf, laterSeconds = 0) => {
      const { key, token } = await boundToken({ withNonce: true });
      const nonce = nonceOf();
      const now = Date.now();
      jest.spyOn(Date, 'now').mockImplementation(() => now + laterSeconds * 1000);
      const refused = await narrow(token, await proven(server.issuer, key, { nonce }));
      expect(await refusalOf(refused)).toEqual([400, 'use_dpop_nonce']);
      expect(nonceIn(refused)).not.toBe(nonce);
    });
  });

  it.each([-400, 400])(
    'is refused with a clock that is %d seconds off, and a nonce mends it',
    async (seconds) => {
      const { key, token } = await boundToken();
      const iat = Math.floor(Date.now() / 1000) + seconds;
      const refused = await narrow(token, await proven(server.issuer, key, { iat }));
      await expectRefused(refused, 'use_dpop_nonce', /not recent enough/);
      const nonce = nonceIn(refused);
      expect((await narrow(token, await proven(server.issuer, key, { iat, nonce }))).status).toBe(200);
    },
  );

  it('is refused to its API, which has no such key', async () => {
    const { token } = await boundToken();
    await expectRefused(await exchange({ subject_token: token }), 'invalid_request', /bound to a key/);
  });
});

it('a role that was taken takes the exchange along', async () => {
  const person = await signInAtFront(server, scene);
  const subject = { subject_token: person.tokens.access_token };
  expect((await exchange(subject)).status).toBe(200);
  const { rbac } = server.subjects;
  for (const { name } of await rbac.rolesOf(person.credentials.account.id))
    await rbac.revokeRole(person.credentials.account.id, name, OPERATOR);
  await expectRefused(await exchange(subject), 'invalid_scope', /does not reach so far/);
});

it('an API that is gone is no target, whatever the policy says', async () => {
  const gone = await registerApi(server);
  const its = await setScene(server, { service: { tokenExchangeAudiences: [gone.identifier] } });
  const { tokens } = await signInAtFront(server, its);
  await server.subjects.apis.delete(gone.identifier, OPERATOR);
  await expectRefused(
    await tokenRequest(server, its.service, exchangeOf(tokens.access_token, gone.identifier)),
    'invalid_target',
    /no such API/,
  );
});
