/**
 * FAPI 2.0, requirement by requirement, each broken on its own over plain HTTP: what fapi2.test.ts does not show with
 * openid-client, and test/unit/clients/security-profile.test.ts not of the registration. Numbers are those of the lists
 * in FAPI 2.0 Security Profile §5.3.2 (SP) and Message Signing §5.3 to §5.5 (MS).
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt, decodeProtectedHeader, SignJWT, UnsecuredJWT } from 'jose';

import { randomToken } from '../../../src/platform/ids.ts';
import {
  authorize,
  registerApplication,
  registerPerson,
  type Application,
} from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person, type Visited } from '../../support/person.ts';
import { recordedOf } from '../../support/recorded.ts';
import { generateKey, requestOf, type OwnKey } from '../../support/relying-party.ts';

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

let server: TestServer;
let key: OwnKey;
let application: Application;
let signing: Application;
let person: Person;
let credentials: Awaited<ReturnType<typeof registerPerson>>;
let nonce: string;

beforeAll(async () => {
  server = await startGatehouse();
  key = await generateKey('ES256');
  const input = {
    authMethod: 'private_key_jwt',
    jwks: { keys: [key.jwk] },
    grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
  } as const;
  application = await registerApplication(server, { ...input, profile: 'fapi2' } as never);
  signing = await registerApplication(server, { ...input, profile: 'fapi2_message_signing' } as never);
  credentials = await registerPerson(server);
  person = createPerson(server.issuer);
  const first = { proof: await proof('token', { nonce: undefined }) };
  const told = await ask('token', { grant_type: 'client_credentials' }, first);
  nonce = told.headers.get('dpop-nonce') ?? '';
});
afterAll(() => server.stop());

const now = (): number => Math.floor(Date.now() / 1000);

/** In order, but for what is given. */
function assertion(claims: Record<string, unknown> = {}, { clientId } = application): Promise<string> {
  return new SignJWT({
    iss: clientId,
    sub: clientId,
    aud: server.issuer,
    jti: randomToken(),
    iat: now(),
    exp: now() + 60,
    ...claims,
  })
    .setProtectedHeader({ alg: 'ES256', kid: key.jwk.kid })
    .sign(key.privateKey);
}

function proof(endpoint: string, claims: Record<string, unknown> = {}): Promise<string> {
  const { kid: _kid, use: _use, ...jwk } = key.jwk;
  const htu = `${server.issuer}/oauth/${endpoint}`;
  return new SignJWT({ htm: 'POST', htu, jti: randomToken(), iat: now(), nonce, ...claims })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
    .sign(key.privateKey);
}

interface Sent {
  client_assertion?: string | undefined;
  proof?: string;
}

async function ask(
  endpoint: string,
  parameters: Record<string, string | undefined>,
  sent: Sent = {},
  by: Application = application,
): Promise<Response> {
  const client_assertion = 'client_assertion' in sent ? sent.client_assertion : await assertion({}, by);
  const body = {
    client_id: by.clientId,
    ...(client_assertion !== undefined && { client_assertion, client_assertion_type: ASSERTION_TYPE }),
    ...parameters,
  };
  const given = Object.entries(body).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return fetch(`${server.issuer}/oauth/${endpoint}`, {
    method: 'POST',
    headers: sent.proof === undefined ? {} : { dpop: sent.proof },
    body: new URLSearchParams(given),
  });
}

async function answerOf(response: Response): Promise<[number, Record<string, unknown>]> {
  return [response.status, (await response.json()) as Record<string, unknown>];
}

/** Refused, with the reason in the log. */
async function expectRefused(response: Response, status: number, error: string): Promise<void> {
  expect(await answerOf(response)).toEqual([status, expect.objectContaining({ error })]);
  expect((await recordedOf(server, response)).at(-1)).toMatchObject({
    outcome: 'failure',
    payload: { error, reason: expect.stringMatching(/./) },
  });
}

async function parametersOf(given: Record<string, string> = {}): Promise<Record<string, string>> {
  return (await requestOf({ application } as never, given)).parameters;
}

/** The address that the browser is sent to. */
async function pushed(
  parameters: Record<string, string | undefined>,
  { by = application, sent = {} }: { by?: Application; sent?: Sent } = {},
): Promise<URL> {
  const [status, answer] = await answerOf(await ask('par', parameters, sent, by));
  expect([status, answer]).toEqual([201, expect.anything()]);
  const url = new URL(`${server.issuer}/oauth/authorize`);
  const query = { client_id: by.clientId, request_uri: String(answer['request_uri']) };
  url.search = new URLSearchParams(query).toString();
  return url;
}

const open = (url: URL): Promise<Visited> =>
  authorize(person, { url: url.href, verifier: '', state: '', nonce: '' }, credentials);

/** What redeems the code of a whole pass, as often as it is called. */
async function redemption(parameters: Record<string, string>): Promise<() => Promise<Response>> {
  const request = await requestOf({ application } as never, parameters);
  const page = await open(await pushed(request.parameters));
  const code = page.url.searchParams.get('code') ?? '';
  return async () =>
    ask(
      'token',
      {
        grant_type: 'authorization_code',
        code,
        redirect_uri: application.redirectUri,
        code_verifier: request.checks.pkceCodeVerifier,
      },
      { proof: await proof('token') },
    );
}

describe('SP §5.3.2.1: any client under the profile', () => {
  it('2: gets nothing for a password', async () => {
    const refused = await ask('token', { grant_type: 'password', username: 'a', password: 'b' });
    expect(await answerOf(refused)).toMatchObject([400, { error: 'unsupported_grant_type' }]);
  });

  it('4, 5: gets no token without a proof, and keeps what it presented', async () => {
    await expectRefused(await ask('token', { grant_type: 'client_credentials' }), 400, 'invalid_grant');
    const redeem = await redemption({ scope: 'openid offline_access' });
    const [, { refresh_token: refreshToken }] = await answerOf(await redeem());
    const refresh = { grant_type: 'refresh_token', refresh_token: String(refreshToken) };
    await expectRefused(await ask('token', refresh), 400, 'invalid_grant');
    const [status, tokens] = await answerOf(await ask('token', refresh, { proof: await proof('token') }));
    expect([status, tokens['token_type']]).toEqual([200, 'DPoP']);
  });

  it.each(['token', 'par', 'introspect', 'revoke'])(
    '8: is known at the %s endpoint by the issuer alone as the audience',
    async (endpoint) => {
      const parameters = { grant_type: 'client_credentials', token: 'at_none', ...(await parametersOf()) };
      for (const aud of [`${server.issuer}/oauth/${endpoint}`, [server.issuer], `${server.issuer}/`]) {
        const sent = { client_assertion: await assertion({ aud }), proof: await proof(endpoint) };
        await expectRefused(await ask(endpoint, parameters, sent), 401, 'invalid_client');
      }
      const good = await ask(endpoint, parameters, { proof: await proof(endpoint) });
      expect(good.ok).toBe(true);
    },
  );

  it('13: may have a clock that is ten seconds ahead', async () => {
    const ahead = { iat: now() + 10, nbf: now() + 10 };
    const sent = {
      client_assertion: await assertion(ahead),
      proof: await proof('token', { iat: now() + 10 }),
    };
    expect((await ask('token', { grant_type: 'client_credentials' }, sent)).status).toBe(200);
    await pushed({ request: await requestObject(ahead) }, { by: signing });
  });
});

describe('SP §5.3.2.2: a client that people sign in to', () => {
  it.each<[string, Record<string, string | undefined>, Sent, [number, string]]>([
    ['1: for a token at once', { response_type: 'token' }, {}, [400, 'unsupported_response_type']],
    [
      '1: for an ID token beside the code',
      { response_type: 'code id_token' },
      {},
      [400, 'unsupported_response_type'],
    ],
    ['4: without proving who it is', {}, { client_assertion: undefined }, [401, 'invalid_client']],
    ['6: without saying where to answer', { redirect_uri: undefined }, {}, [400, 'invalid_request']],
  ])('%s: does not ask', async (_name, parameters, sent, [status, error]) => {
    await expectRefused(await ask('par', { ...(await parametersOf()), ...parameters }, sent), status, error);
  });

  it('9: gets tokens for a code once, and loses them when it comes again', async () => {
    const redeem = await redemption({ scope: 'openid offline_access' });
    const [status, { refresh_token: refreshToken }] = await answerOf(await redeem());
    expect(status).toBe(200);
    await expectRefused(await redeem(), 400, 'invalid_grant');
    const refresh = { grant_type: 'refresh_token', refresh_token: String(refreshToken) };
    const after = await ask('token', refresh, { proof: await proof('token') });
    expect(await answerOf(after)).toMatchObject([400, { error: 'invalid_grant' }]);
  });

  it('7, 10, 11: is answered by a 303 that names the issuer, also where it is refused', async () => {
    const url = await pushed(await parametersOf({ prompt: 'none' }));
    const refused = await fetch(url, { redirect: 'manual' });
    const location = new URL(refused.headers.get('location') ?? '');
    expect([refused.status, location.searchParams.get('error')]).toEqual([303, 'login_required']);
    expect(location.searchParams.get('iss')).toBe(server.issuer);
    const { url: answered } = await open(await pushed(await parametersOf()));
    expect(answered.searchParams.get('iss')).toBe(server.issuer);
  });

  it('12: has less than ten minutes for a request that it pushed', async () => {
    const [, answer] = await answerOf(await ask('par', await parametersOf()));
    expect(answer['expires_in']).toBeLessThan(600);
  });

  it('§5.3.2.3: may have a nonce of 64 characters', async () => {
    const long = 'n'.repeat(64);
    const [, { id_token: idToken }] = await answerOf(await (await redemption({ nonce: long }))());
    expect(decodeJwt(String(idToken))['nonce']).toBe(long);
  });

  it('§5.3.4: reads userinfo with the token in the header and a proof, and in no other way', async () => {
    const [status, { access_token: token }] = await answerOf(await (await redemption({}))());
    expect(status).toBe(200);
    const userinfo = `${server.issuer}/oauth/userinfo`;
    const inQuery = await fetch(`${userinfo}?access_token=${String(token)}`);
    expect(inQuery.status).toBe(400);
    const bare = await fetch(userinfo, { headers: { authorization: `Bearer ${String(token)}` } });
    expect(bare.status).toBe(401);
  });

  it.each(['assertion', 'request'])('§5.4.1: signs its %s, by what is no “none”', async (what) => {
    const { clientId } = application;
    const claims = { iss: clientId, sub: clientId, aud: server.issuer, jti: randomToken(), exp: now() + 60 };
    const unsigned = new UnsecuredJWT(claims).encode();
    const refused =
      what === 'assertion'
        ? await ask('par', await parametersOf(), { client_assertion: unsigned })
        : await ask('par', { request: unsigned });
    expect(refused.ok).toBe(false);
  });
});

/** In order, but for what is given. */
async function requestObject(
  claims: Record<string, unknown> = {},
  parameters: Record<string, string> = {},
): Promise<string> {
  const { clientId } = signing;
  return new SignJWT({
    ...(await parametersOf({ response_mode: 'jwt', ...parameters })),
    client_id: clientId,
    redirect_uri: signing.redirectUri,
    iss: clientId,
    aud: server.issuer,
    nbf: now(),
    exp: now() + 300,
    ...claims,
  })
    .setProtectedHeader({ alg: 'ES256', kid: key.jwk.kid, typ: 'oauth-authz-req+jwt' })
    .sign(key.privateKey);
}

describe('MS: a client whose messages are signed', () => {
  it('§5.3.1, 2: may name others beside the issuer as the audience', async () => {
    const aud = [server.issuer, 'https://other.example'];
    await pushed({ request: await requestObject({ aud }) }, { by: signing });
  });

  it.each<[string, Record<string, unknown>]>([
    ['2: for nobody', { aud: undefined }],
    ['2: for others', { aud: ['https://other.example'] }],
    ['2: for the endpoint', { aud: 'ENDPOINT' }],
    ['3: without a beginning', { nbf: undefined }],
    ['3: whose beginning is a text', { nbf: 'now' }],
    ['3: that is not good yet', { nbf: now() + 300 }],
    ['4: without an end', { exp: undefined }],
    ['4: for longer than an hour', { exp: now() + 7_200 }],
  ])('§5.3.1, %s: no request', async (_name, claims) => {
    const aud = claims['aud'] === 'ENDPOINT' ? { aud: `${server.issuer}/oauth/par` } : {};
    const request = await requestObject({ ...claims, ...aud });
    await expectRefused(await ask('par', { request }, {}, signing), 400, 'invalid_request_object');
  });

  it('§5.3.1: is heard in what it signed alone', async () => {
    const request = await requestObject({ redirect_uri: undefined });
    const outside = { redirect_uri: signing.redirectUri };
    await expectRefused(await ask('par', { request, ...outside }, {}, signing), 400, 'invalid_request');
    const url = await pushed(
      { request: await requestObject({ state: 'inside' }), state: 'outside' },
      { by: signing },
    );
    const { url: answered } = await open(url);
    expect(decodeJwt(answered.searchParams.get('response') ?? '')['state']).toBe('inside');
  });

  it('§5.4.1: is answered in a signed message, also where it is refused', async () => {
    const url = await pushed({ request: await requestObject({}, { prompt: 'none' }) }, { by: signing });
    const { url: answered } = await createPerson(server.issuer).open(url.href);
    const response = answered.searchParams.get('response') ?? '';
    expect(decodeProtectedHeader(response).alg).toBe('ES256');
    expect(decodeJwt(response)).toMatchObject({
      iss: server.issuer,
      aud: signing.clientId,
      error: 'login_required',
    });
    expect(answered.searchParams.get('error')).toBeNull();
  });
});
