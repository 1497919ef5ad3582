/** Who claims to be a client and is not (RFC 6749 §2.3, RFC 7523 §3, RFC 9700 §2.5). */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHmac } from 'node:crypto';
import {
  exportJWK,
  exportSPKI,
  generateKeyPair,
  SignJWT,
  UnsecuredJWT,
  type CryptoKey,
  type JWK,
} from 'jose';

import { randomToken } from '../../src/platform/ids.ts';
import { basicOf, OPERATOR, registerApplication, type Application } from '../support/application.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import { recordedOf } from '../support/recorded.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startGatehouse();
});
afterAll(() => server.stop());

async function registerMachine(input: Record<string, unknown> = {}): Promise<Application> {
  const { client, secret } = await server.subjects.clients.create(
    { name: 'Machine', kind: 'machine', ...input },
    OPERATOR,
  );
  return { clientId: client.clientId, secret, redirectUri: '' };
}

function post(
  fields: Record<string, string>,
  headers: Record<string, string> = {},
  query = '',
): Promise<Response> {
  return fetch(`${server.issuer}/oauth/token${query}`, {
    method: 'POST',
    headers,
    body: new URLSearchParams({ grant_type: 'client_credentials', ...fields }),
  });
}

async function expectRefused(response: Response, status: number, error: string): Promise<void> {
  const text = await response.text();
  expect([response.status, JSON.parse(text)]).toMatchObject([status, { error }]);
  expect(await recordedOf(server, response)).toMatchObject([
    { type: 'token.refused', outcome: 'failure', payload: { error, reason: expect.any(String) } },
  ]);
}

const basic = (id: string, secret: string): string => `Basic ${btoa(`${id}:${secret}`)}`;

describe('a shared secret', () => {
  let machine: Application;
  beforeAll(async () => {
    machine = await registerMachine();
  });

  it('works by header and by body, for the client whose it is', async () => {
    expect((await post({}, { authorization: basicOf(machine) })).status).toBe(200);
    const { clientId, secret = '' } = machine;
    expect((await post({ client_id: clientId, client_secret: secret })).status).toBe(200);
  });

  it.each<
    [
      string,
      (it: { id: string; secret: string }) => [Record<string, string>, Record<string, string>?, string?],
      number,
      string,
    ]
  >([
    ['wrong', ({ id }) => [{}, { authorization: basic(id, randomToken()) }], 401, 'invalid_client'],
    [
      'cut short',
      ({ id, secret }) => [{}, { authorization: basic(id, secret.slice(0, -1)) }],
      401,
      'invalid_client',
    ],
    [
      'in capital letters',
      ({ id, secret }) => [{}, { authorization: basic(id, secret.toUpperCase()) }],
      401,
      'invalid_client',
    ],
    [
      'with a space behind',
      ({ id, secret }) => [{ client_id: id, client_secret: `${secret} ` }],
      401,
      'invalid_client',
    ],
    [
      'with a NUL byte behind',
      ({ id, secret }) => [{ client_id: id, client_secret: `${secret}\0` }],
      401,
      'invalid_client',
    ],
    ['long', ({ id }) => [{ client_id: id, client_secret: 'x'.repeat(50_000) }], 401, 'invalid_client'],
    ['empty in the header', ({ id }) => [{}, { authorization: basic(id, '') }], 400, 'invalid_request'],
    ['missing', ({ id }) => [{ client_id: id }], 401, 'invalid_client'],
    ['without its client', ({ secret }) => [{ client_secret: secret }], 400, 'invalid_request'],
    [
      'of a client that does not exist',
      ({ secret }) => [{}, { authorization: basic('nobody', secret) }],
      401,
      'invalid_client',
    ],
    [
      'by two methods at once',
      ({ id, secret }) => [{ client_id: id, client_secret: secret }, { authorization: basic(id, secret) }],
      400,
      'invalid_request',
    ],
    [
      'beside an assertion',
      ({ id, secret }) => [{ client_id: id, client_secret: secret, client_assertion: 'a.b.c' }],
      400,
      'invalid_request',
    ],
    [
      'under two ids',
      ({ id, secret }) => [{ client_id: 'other' }, { authorization: basic(id, secret) }],
      400,
      'invalid_request',
    ],
    [
      'in the query',
      ({ id, secret }) => [{}, {}, `?client_id=${id}&client_secret=${secret}`],
      400,
      'invalid_request',
    ],
    [
      'as a bearer token',
      ({ secret }) => [{}, { authorization: `Bearer ${secret}` }],
      400,
      'invalid_request',
    ],
    ['in broken Base64', () => [{}, { authorization: 'Basic !!!' }], 400, 'invalid_request'],
    ['without a colon', ({ id }) => [{}, { authorization: `Basic ${btoa(id)}` }], 400, 'invalid_request'],
    ['badly escaped', ({ id }) => [{}, { authorization: basic(id, '%E0%A4%A') }], 400, 'invalid_request'],
    [
      'twice',
      ({ id, secret }) => [{}, { authorization: `${basic(id, secret)} ${basic(id, secret)}` }],
      400,
      'invalid_request',
    ],
  ])('is refused when it is %s', async (_name, request, status, error) => {
    const [fields, headers, query] = request({ id: machine.clientId, secret: machine.secret ?? '' });
    await expectRefused(await post(fields, headers, query), status, error);
  });

  it("is refused when it is another client's", async () => {
    const other = await registerMachine();
    await expectRefused(
      await post({}, { authorization: basic(machine.clientId, other.secret ?? '') }),
      401,
      'invalid_client',
    );
  });

  it('is refused at once when its client was deleted', async () => {
    const gone = await registerMachine();
    expect((await post({}, { authorization: basicOf(gone) })).status).toBe(200);
    await server.subjects.clients.delete(gone.clientId, OPERATOR);
    await expectRefused(await post({}, { authorization: basicOf(gone) }), 401, 'invalid_client');
  });

  it('is refused at once when it was taken away, while its successor works', async () => {
    const rotated = await registerMachine();
    const { clients } = server.subjects;
    const [first] = (await clients.get(rotated.clientId)).secrets;
    const { secret } = await clients.rotateSecret(rotated.clientId, {}, OPERATOR);
    expect((await post({}, { authorization: basicOf(rotated) })).status).toBe(200);
    await clients.removeSecret(rotated.clientId, first?.id ?? '', OPERATOR);
    await expectRefused(await post({}, { authorization: basicOf(rotated) }), 401, 'invalid_client');
    expect((await post({}, { authorization: basicOf({ ...rotated, secret }) })).status).toBe(200);
  });

  it('is refused from a public client, and none at all from a confidential one', async () => {
    const open = await registerApplication(server, { kind: 'browser' });
    const code = { grant_type: 'authorization_code', code: 'ac_x', redirect_uri: open.redirectUri };
    await expectRefused(
      await post({ ...code, client_id: open.clientId, client_secret: 'guess' }),
      401,
      'invalid_client',
    );
    await expectRefused(await post({ ...code, client_id: machine.clientId }), 401, 'invalid_client');
  });

  it('says by which scheme to try again, and no more about unknown clients than about known ones', async () => {
    const known = await post({}, { authorization: basic(machine.clientId, 'guess') });
    const unknown = await post({}, { authorization: basic('nobody', 'guess') });
    expect(known.headers.get('www-authenticate')).toMatch(/^Basic realm=/);
    expect(unknown.headers.get('www-authenticate')).toBe(known.headers.get('www-authenticate'));
    expect(await unknown.json()).toEqual(await known.json());
  });
});

describe('a client assertion', () => {
  let machine: Application;
  let key: { publicKey: CryptoKey; privateKey: CryptoKey };
  let jwk: JWK;
  beforeAll(async () => {
    key = await generateKeyPair('RS256', { extractable: true });
    jwk = { ...(await exportJWK(key.publicKey)), kid: 'k1', use: 'sig' };
    machine = await registerMachine({ authMethod: 'private_key_jwt', jwks: { keys: [jwk] } });
  });

  const claims = (): Record<string, unknown> => ({
    iss: machine.clientId,
    sub: machine.clientId,
    aud: server.issuer,
    jti: randomToken(),
    iat: Math.floor(Date.now() / 1000),
    exp: Math.floor(Date.now() / 1000) + 60,
  });
  const sign = (
    payload: Record<string, unknown>,
    { header = {}, by = key.privateKey }: { header?: Record<string, unknown>; by?: CryptoKey } = {},
  ): Promise<string> =>
    new SignJWT(payload).setProtectedHeader({ alg: 'RS256', kid: 'k1', ...header }).sign(by);
  const assert = (assertion: string, more: Record<string, string> = {}): Promise<Response> =>
    post({
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: assertion,
      ...more,
    });
  const now = (): number => Math.floor(Date.now() / 1000);
  const hmac = (payload: Record<string, unknown>, secret: string | Buffer): string => {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const text = `${part({ alg: 'HS256', kid: 'k1' })}.${part(payload)}`;
    return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
  };

  it('works once', async () => {
    const assertion = await sign(claims());
    expect((await assert(assertion)).status).toBe(200);
    await expectRefused(await assert(assertion), 401, 'invalid_client');
  });

  it.each<[string, () => Record<string, unknown>]>([
    ['for another audience', () => ({ aud: 'https://other.example' })],
    ['for an audience that only begins alike', () => ({ aud: `${server.issuer}.evil.example` })],
    ['for nobody', () => ({ aud: undefined })],
    ['that has expired', () => ({ exp: now() - 60, iat: now() - 120 })],
    ['that never expires', () => ({ exp: undefined })],
    ['that is not valid yet', () => ({ nbf: now() + 300 })],
    ['that outlives every calendar', () => ({ exp: 1e20 })],
    ['that lives for a century', () => ({ exp: now() + 100 * 365 * 86_400 })],
    ['without a jti', () => ({ jti: undefined })],
    ['with an odd jti', () => ({ jti: 7 })],
    ['by another issuer', () => ({ iss: 'other' })],
    ['without an issuer', () => ({ iss: undefined })],
    ['about another client', () => ({ sub: 'other' })],
    ['about nobody', () => ({ sub: undefined })],
    ['with times that are words', () => ({ exp: 'tomorrow' })],
  ])('is refused %s', async (_name, change) => {
    const payload = { ...claims(), ...change() };
    for (const name of Object.keys(payload)) if (payload[name] === undefined) delete payload[name];
    await expectRefused(await assert(await sign(payload)), 401, 'invalid_client');
  });

  it('is refused by another key, whatever its header says of it', async () => {
    const foreign = await generateKeyPair('RS256', { extractable: true });
    const foreignJwk = await exportJWK(foreign.publicKey);
    const headers: Record<string, unknown>[] = [
      {},
      { kid: 'k2' },
      { kid: undefined },
      { kid: '../../../../dev/null' },
      { kid: "k1' or '1'='1" },
      { kid: '__proto__' },
      { jwk: foreignJwk },
      { jwk: foreignJwk, kid: undefined },
      { jku: 'https://evil.example/jwks' },
      { x5u: 'https://evil.example/cert' },
    ];
    for (const header of headers) {
      const given = Object.fromEntries(Object.entries(header).filter(([, value]) => value !== undefined));
      const assertion = await sign(claims(), { by: foreign.privateKey, header: given });
      await expectRefused(await assert(assertion), 401, 'invalid_client');
    }
  });

  it('is refused with a header that must be understood and is not', async () => {
    const [, payload = '', signature = ''] = (await sign(claims())).split('.');
    const header = Buffer.from(JSON.stringify({ alg: 'RS256', kid: 'k1', crit: ['evil'], evil: 1 }));
    await expectRefused(
      await assert(`${header.toString('base64url')}.${payload}.${signature}`),
      401,
      'invalid_client',
    );
  });

  it('is refused unsigned', async () => {
    const unsigned = new UnsecuredJWT(claims()).encode();
    await expectRefused(await assert(unsigned), 401, 'invalid_client');
    for (const alg of ['None', 'NONE', 'nOnE']) {
      const header = Buffer.from(JSON.stringify({ alg })).toString('base64url');
      const [, payload = ''] = unsigned.split('.');
      await expectRefused(await assert(`${header}.${payload}.`), 401, 'invalid_client');
    }
    const [header = '', payload = ''] = (await sign(claims())).split('.');
    await expectRefused(await assert(`${header}.${payload}.`), 401, 'invalid_client');
  });

  it('is refused when a public key was used as a shared secret', async () => {
    const pem = await exportSPKI(key.publicKey);
    for (const secret of [pem, pem.trim(), JSON.stringify(jwk), '']) {
      await expectRefused(await assert(hmac(claims(), secret)), 401, 'invalid_client');
    }
  });

  it('is refused when a shared secret signed it: secrets are kept as hashes (HS256)', async () => {
    const shared = await registerMachine();
    const assertion = hmac({ ...claims(), iss: shared.clientId, sub: shared.clientId }, shared.secret ?? '');
    await expectRefused(await assert(assertion), 401, 'invalid_client');
  });

  it.each([
    ['garbage', 'garbage'],
    ['three parts of nothing', '..'],
    ['no JSON', 'YQ.YQ.YQ'],
    ['long', `${'x'.repeat(50_000)}.a.b`],
    ['an encrypted token', 'a.b.c.d.e'],
  ])('is refused when it is %s', async (_name, assertion) => {
    await expectRefused(await assert(assertion), 400, 'invalid_request');
  });

  it('is refused by any algorithm but the one that the client has bound itself to', async () => {
    const ec = await generateKeyPair('ES256', { extractable: true });
    const keys = [jwk, { ...(await exportJWK(ec.publicKey)), kid: 'k2', use: 'sig' }];
    const bound = await registerMachine({
      authMethod: 'private_key_jwt',
      jwks: { keys },
      tokenEndpointAuthSigningAlg: 'ES256',
    });
    const own = (): object => ({ ...claims(), iss: bound.clientId, sub: bound.clientId });
    await expectRefused(await assert(await sign({ ...own() })), 401, 'invalid_client');
    const header = { alg: 'ES256', kid: 'k2' };
    expect((await assert(await sign({ ...own() }, { header, by: ec.privateKey }))).status).toBe(200);
  });

  it('is refused under another type or another client_id', async () => {
    await expectRefused(
      await assert(await sign(claims()), {
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer',
      }),
      400,
      'invalid_request',
    );
    await expectRefused(await assert(await sign(claims()), { client_id: 'other' }), 400, 'invalid_request');
  });

  it('gives a client that signs no way to come with a secret', async () => {
    await expectRefused(
      await post({ client_id: machine.clientId, client_secret: 'guess' }),
      401,
      'invalid_client',
    );
    await expectRefused(await post({ client_id: machine.clientId }), 401, 'invalid_client');
  });

  it('is refused when its jti was used under another key of the same client', async () => {
    const second = await generateKeyPair('ES256', { extractable: true });
    const both = await registerMachine({
      authMethod: 'private_key_jwt',
      jwks: { keys: [jwk, { ...(await exportJWK(second.publicKey)), kid: 'k2', use: 'sig' }] },
    });
    const payload = { ...claims(), iss: both.clientId, sub: both.clientId };
    expect((await assert(await sign(payload))).status).toBe(200);
    const again = await sign(payload, { by: second.privateKey, header: { alg: 'ES256', kid: 'k2' } });
    await expectRefused(await assert(again), 401, 'invalid_client');
  });
});
