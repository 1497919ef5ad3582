/**
 * Algorithm confusion (RFC 8725) at every place that takes a JWT, one of ours or one of a client: each forgery is
 * refused, and on record with its reason; the genuine one that it was made from is taken.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

import { GRANT_TYPES, TOKEN_EXCHANGE } from '../../src/clients/client.ts';
import { randomToken } from '../../src/platform/ids.ts';
import {
  ask,
  machineToken,
  redeemFor,
  registerApi,
  registerRole,
  registerVisitor,
  tokensOf,
  type RegisteredApi,
  type Visitor,
} from '../support/apis.ts';
import {
  authorizationRequest,
  basicOf,
  introspect,
  OPERATOR,
  registerApplication,
  signedIn,
  type Application,
  type Tokens,
} from '../support/application.ts';
import { BY_OWN_KEY, FORGERIES, type Genuine } from '../support/forgeries.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import { recordedOf } from '../support/recorded.ts';

const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token';
const ALL = { ...FORGERIES, ...BY_OWN_KEY };

let server: TestServer;
let visitor: Visitor;
let api: RegisteredApi;
let tokens: Tokens;
let actorToken: string;
/** Signs its assertions and requests. */
let signer: Application;
let signerKey: JWK;
let proofKey: JWK;
let boundToken: string;

beforeAll(async () => {
  server = await startGatehouse();
  api = await registerApi(server);
  const application = await registerApplication(server, {
    grantTypes: [...GRANT_TYPES],
    postLogoutRedirectUris: ['https://app.example/bye'],
    tokenExchangeAudiences: [api.identifier],
    tokenExchangeModes: ['impersonation', 'delegation'],
  });
  visitor = await registerVisitor(server, {
    application,
    roles: [await registerRole(server, api, ['read'])],
  });
  await server.subjects.apis.permitClient(
    { clientId: application.clientId, api: api.identifier, permissions: ['read'] },
    OPERATOR,
  );
  const asked = await ask(server, visitor, { scope: 'openid read', resource: api.identifier });
  tokens = await tokensOf(await redeemFor(server, application, asked, api.identifier));
  const machine = await machineToken(server, application, { resource: api.identifier });
  ({ access_token: actorToken } = await tokensOf(machine));

  const rsa = await generateKeyPair('RS256', { extractable: true });
  signerKey = { ...(await exportJWK(rsa.privateKey)), kid: 'signer', alg: 'RS256' };
  signer = await registerApplication(server, {
    authMethod: 'private_key_jwt',
    grantTypes: GRANT_TYPES.filter((type) => type !== TOKEN_EXCHANGE),
    jwks: { keys: [{ ...(await exportJWK(rsa.publicKey)), kid: 'signer', use: 'sig' }] },
  });
  const ec = await generateKeyPair('ES256', { extractable: true });
  proofKey = await exportJWK(ec.privateKey);
  boundToken = await tokenBoundTo(application);
});
afterAll(() => server.stop());

const now = (): number => Math.floor(Date.now() / 1000);

async function signed(payload: object, privateJwk: JWK, header: Record<string, unknown>): Promise<Genuine> {
  const alg = privateJwk.kty === 'RSA' ? 'RS256' : 'ES256';
  const token = await new SignJWT({ ...payload }).setProtectedHeader({ alg, ...header }).sign(privateJwk);
  return { token, privateJwk };
}

const ours = (token: string): Genuine => ({
  token,
  privateJwk: server.subjects.keys.keyset().signing.find(({ alg }) => alg === 'RS256')!,
});

const assertion = (): Promise<Genuine> =>
  signed(
    {
      iss: signer.clientId,
      sub: signer.clientId,
      aud: server.issuer,
      jti: randomToken(),
      iat: now(),
      exp: now() + 60,
    },
    signerKey,
    { kid: 'signer' },
  );

const requestObject = (): Promise<Genuine> => {
  const { searchParams } = new URL(authorizationRequest(server, signer).url);
  return signed(
    { ...Object.fromEntries(searchParams), iss: signer.clientId, aud: server.issuer, exp: now() + 60 },
    signerKey,
    { kid: 'signer', typ: 'oauth-authz-req+jwt' },
  );
};

const proof = (method: string, endpoint: string, claims: object = {}): Promise<Genuine> => {
  const { d: _private, ...jwk } = proofKey;
  const payload = {
    htm: method,
    htu: `${server.issuer}${endpoint}`,
    jti: randomToken(),
    iat: now(),
    ...claims,
  };
  return signed(payload, proofKey, { typ: 'dpop+jwt', jwk });
};

function post(
  path: string,
  form: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${server.issuer}${path}`, { method: 'POST', headers, body: new URLSearchParams(form) });
}

const byVisitor = (path: string, form: Record<string, string>): Promise<Response> =>
  post(path, form, { authorization: basicOf(visitor.application) });

const exchange = (parameters: Record<string, string>): Promise<Response> =>
  byVisitor('/oauth/token', {
    grant_type: TOKEN_EXCHANGE,
    subject_token: tokens.access_token,
    subject_token_type: ACCESS_TOKEN,
    audience: api.identifier,
    ...parameters,
  });

const asserted =
  (path: string, form: Record<string, string>) =>
  (client_assertion: string): Promise<Response> =>
    post(path, {
      client_id: signer.clientId,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion,
      ...form,
    });

const opened = (client: Application, parameters: Record<string, string>): Promise<Response> =>
  visitor.person.request(authorizationRequest(server, client, parameters).url);

const pushed = (): Record<string, string> =>
  Object.fromEntries(new URL(authorizationRequest(server, visitor.application).url).searchParams);

async function tokenBoundTo(application: Application): Promise<string> {
  const { code, verifier } = await signedIn(server).then(async ({ person }) => {
    const request = authorizationRequest(server, application, { scope: 'openid' });
    const page = await person.open(request.url);
    return { code: page.url.searchParams.get('code') ?? '', verifier: request.verifier };
  });
  const { token: dpop } = await proof('POST', '/oauth/token');
  const response = await post(
    '/oauth/token',
    {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: application.redirectUri,
    },
    { authorization: basicOf(application), dpop },
  );
  return (await tokensOf(response)).access_token;
}

interface Door {
  genuine: () => Promise<Genuine> | Genuine;
  present: (jwt: string) => Promise<Response>;
  /** Whether the answer gives what it is asked for. */
  isTaken?: (response: Response) => Promise<boolean> | boolean;
  forgeries?: Readonly<Record<string, (genuine: Genuine) => string>>;
  /** Whether such an answer is a refusal, and not only nothing (RFC 7662 §2.2, RFC 7009 §2.2). */
  isOnRecord?: boolean;
}

const isOk = ({ status }: Response): boolean => status === 200 || status === 201;
const hasCode = ({ headers }: Response): boolean => /[?&]code=/.test(headers.get('location') ?? '');

const DOORS: Record<string, Door> = {
  'an id_token_hint with an authorization request': {
    genuine: () => ours(tokens.id_token!),
    present: (hint) => opened(visitor.application, { id_token_hint: hint, prompt: 'none' }),
    isTaken: hasCode,
  },
  'an id_token_hint with a sign-out': {
    genuine: () => ours(tokens.id_token!),
    present: (hint) =>
      visitor.person.request(
        `${server.issuer}/oauth/logout?${new URLSearchParams({ id_token_hint: hint }).toString()}`,
      ),
  },
  'an id_token_hint with a backchannel request': {
    genuine: () => ours(tokens.id_token!),
    present: (hint) => byVisitor('/oauth/backchannel', { scope: 'openid', id_token_hint: hint }),
  },
  'an ID token as a subject token': {
    genuine: () => ours(tokens.id_token!),
    present: (jwt) => exchange({ subject_token: jwt, subject_token_type: ID_TOKEN }),
  },
  'an access token as a subject token': {
    genuine: () => ours(tokens.access_token),
    present: (jwt) => exchange({ subject_token: jwt }),
  },
  'an actor token': {
    genuine: () => ours(actorToken),
    present: (jwt) => exchange({ actor_token: jwt, actor_token_type: ACCESS_TOKEN }),
  },
  'an access token at introspection': {
    genuine: () => ours(tokens.access_token),
    present: (token) => byVisitor('/oauth/introspect', { token }),
    isTaken: async (response) => ((await response.json()) as { active: boolean }).active,
    isOnRecord: false,
  },
  'an access token at revocation': {
    genuine: () => ours(actorToken),
    present: (token) => byVisitor('/oauth/revoke', { token }),
    isTaken: async () => !(await introspect(server, visitor.application, actorToken)).active,
    isOnRecord: false,
  },
  ...Object.fromEntries(
    Object.entries<Record<string, string>>({
      '/oauth/token': { grant_type: 'client_credentials' },
      '/oauth/par': { response_type: 'code' },
      '/oauth/introspect': { token: 'x' },
      '/oauth/revoke': { token: 'x' },
      '/oauth/device_authorization': { scope: 'openid' },
      '/oauth/backchannel': { scope: 'openid', login_hint: 'EMAIL' },
    }).map(([path, form]): [string, Door] => [
      `a client assertion at ${path}`,
      {
        genuine: assertion,
        present: (jwt) => {
          const more =
            path === '/oauth/par'
              ? Object.fromEntries(new URL(authorizationRequest(server, signer).url).searchParams)
              : {};
          const hint = form['login_hint'] && { login_hint: visitor.credentials.email };
          return asserted(path, { ...more, ...form, ...hint })(jwt);
        },
      },
    ]),
  ),
  'a request object with an authorization request': {
    genuine: requestObject,
    present: (request) => opened(signer, { request }),
    isTaken: hasCode,
  },
  'a request object that is pushed': {
    genuine: requestObject,
    present: async (request) => asserted('/oauth/par', { request })((await assertion()).token),
  },
  'a request object of a device': {
    genuine: requestObject,
    present: async (request) =>
      asserted('/oauth/device_authorization', { request })((await assertion()).token),
  },
  'a proof at the token endpoint': {
    genuine: () => proof('POST', '/oauth/token'),
    present: (dpop) =>
      post(
        '/oauth/token',
        { grant_type: 'client_credentials', resource: api.identifier },
        { authorization: basicOf(visitor.application), dpop },
      ),
    forgeries: FORGERIES,
  },
  'a proof with a pushed request': {
    genuine: () => proof('POST', '/oauth/par'),
    present: (dpop) => post('/oauth/par', pushed(), { authorization: basicOf(visitor.application), dpop }),
    forgeries: FORGERIES,
  },
  'a proof at userinfo': {
    genuine: () =>
      proof('GET', '/oauth/userinfo', { ath: createHash('sha256').update(boundToken).digest('base64url') }),
    present: (dpop) =>
      fetch(`${server.issuer}/oauth/userinfo`, { headers: { authorization: `DPoP ${boundToken}`, dpop } }),
    forgeries: FORGERIES,
  },
};

describe.each(Object.entries(DOORS))('%s', (_name, door) => {
  const { genuine, present, isTaken = isOk, forgeries = ALL, isOnRecord = true } = door;

  it('is refused where it is forged, whatever way', async () => {
    const wrong: unknown[] = [];
    for (const [way, forge] of Object.entries(forgeries)) {
      const response = await present(forge(await genuine()));
      const records = await recordedOf(server, response);
      const isRecorded = records.some(
        ({ outcome, payload }) =>
          outcome === 'failure' && typeof (payload as { reason?: unknown }).reason === 'string',
      );
      const status = response.status;
      if (status >= 500 || (await isTaken(response)) || (isOnRecord && !isRecorded))
        wrong.push({ way, status, records });
    }
    expect(wrong).toEqual([]);
  });

  it('is taken where it is genuine', async () => {
    const response = await present((await genuine()).token);
    const told = `${response.status} ${response.headers.get('location') ?? ''} ${await response.clone().text()}`;
    expect([await isTaken(response), told]).toEqual([true, told]);
  });
});

it('is no key to userinfo, genuine or not', async () => {
  for (const jwt of [tokens.access_token, tokens.id_token!, actorToken])
    for (const forge of [({ token }: Genuine) => token, ...Object.values(ALL)]) {
      const headers = { authorization: `Bearer ${forge(ours(jwt))}` };
      const response = await fetch(`${server.issuer}/oauth/userinfo`, { headers });
      expect(response.status).toBe(401);
      expect(await recordedOf(server, response)).toMatchObject([{ type: 'userinfo.refused' }]);
    }
});
