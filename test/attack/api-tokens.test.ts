/** Tokens of one API at another, tokens of another kind or issuer, and requests for what is not theirs (RFC 8707 §3). */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CompactSign, exportJWK, generateKeyPair, importJWK, SignJWT, type JWTPayload } from 'jose';
import { createHmac, createPrivateKey, sign } from 'node:crypto';

import {
  ask,
  machineToken,
  redeemFor,
  refreshFor,
  refusalOf,
  registerApi,
  registerMachine,
  registerRole,
  registerVisitor,
  tokensOf,
  type RegisteredApi,
  type Visitor,
} from '../support/apis.ts';
import {
  basicOf,
  introspect,
  OPERATOR,
  registerApplication,
  tokenRequest,
  type Tokens,
} from '../support/application.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import { recordedOf } from '../support/recorded.ts';

let server: TestServer;
let ledger: RegisteredApi;
let vault: RegisteredApi;
let visitor: Visitor;
let tokens: Tokens;
beforeAll(async () => {
  server = await startGatehouse();
  ledger = await registerApi(server);
  vault = await registerApi(server, {
    permissions: [{ name: 'open', description: 'Open the vault' }],
    accessTokenFormat: 'opaque',
  });
  const roles = [await registerRole(server, ledger, ['read']), await registerRole(server, vault, ['open'])];
  visitor = await registerVisitor(server, { roles });
  const asked = await ask(server, visitor, {
    resource: ledger.identifier,
    scope: 'openid offline_access read',
  });
  tokens = await tokensOf(await redeemFor(server, visitor.application, asked, ledger.identifier));
});
afterAll(() => server.stop());

describe('an authorization request', () => {
  const error = async (parameters: {
    resource?: string | string[];
    scope?: string;
  }): Promise<string | null> => {
    const { visited } = await ask(server, visitor, parameters);
    expect(visited.isAway).toBe(true);
    expect(visited.url.searchParams.get('code')).toBeNull();
    return visited.url.searchParams.get('error');
  };

  it.each([
    ['an API that nobody registered', 'https://nobody.example'],
    ['the API with a slash more', () => `${ledger.identifier}/`],
    ['the API in capital letters', () => ledger.identifier.toUpperCase()],
    ['the API with a fragment', () => `${ledger.identifier}#x`],
    ['a relative address', '/ledger'],
    ['no address at all', 'ledger'],
    ['the issuer', () => server.issuer],
    ['an application', () => visitor.application.clientId],
    ['one that is registered beside one that is not', () => [ledger.identifier, 'https://nobody.example']],
    ['a property of every object', '__proto__'],
  ])('for %s is refused', async (_name, resource) => {
    const identifier = typeof resource === 'function' ? resource() : resource;
    expect(await error({ resource: identifier, scope: 'openid read' })).toBe('invalid_target');
  });

  it.each([
    ['a permission of another API', 'openid open'],
    ['a permission that nobody has', 'openid destroy'],
    ['none', 'openid'],
  ])('that asks for %s is refused', async (_name, scope) => {
    expect(await error({ resource: ledger.identifier, scope })).toBe('invalid_scope');
  });

  it('that asks for what the person may not do gets nothing', async () => {
    expect(await error({ resource: ledger.identifier, scope: 'write audit' })).toBe('access_denied');
  });

  it('without openid that names no API gets nothing of an API', async () => {
    const { visited } = await ask(server, visitor, { scope: 'read' });
    expect(visited.url.searchParams.get('code')).toBeNull();
  });
});

describe('a token request', () => {
  const refreshed = async (parameters: Record<string, string>): Promise<Response> =>
    refreshFor(server, visitor.application, tokens.refresh_token!, parameters);

  it.each<[string, () => Record<string, string>, string]>([
    ['an API that the person was not asked about', () => ({ resource: vault.identifier }), 'invalid_target'],
    ['an API that nobody registered', () => ({ resource: 'https://nobody.example' }), 'invalid_target'],
    ['a permission of another API', () => ({ resource: ledger.identifier, scope: 'open' }), 'invalid_scope'],
    [
      'a permission that was not granted',
      () => ({ resource: ledger.identifier, scope: 'write' }),
      'invalid_scope',
    ],
  ])(
    'for %s is refused, recorded with its reason, and costs no refresh token',
    async (_name, parameters, expected) => {
      const response = await refreshed(parameters());
      expect(await refusalOf(response.clone())).toEqual([400, expected]);
      expect(await recordedOf(server, response)).toContainEqual(
        expect.objectContaining({
          type: 'token.refused',
          payload: expect.objectContaining({ error: expected, reason: expect.any(String) }),
        }),
      );
      expect(await introspect(server, visitor.application, tokens.refresh_token!)).toMatchObject({
        active: true,
      });
    },
  );

  it('for two APIs at once is refused, and costs no refresh token', async () => {
    const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token! });
    body.append('resource', ledger.identifier);
    body.append('resource', vault.identifier);
    const response = await fetch(`${server.issuer}/oauth/token`, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        authorization: basicOf(visitor.application),
      },
      body,
    });
    expect(await refusalOf(response)).toEqual([400, 'invalid_target']);
    expect(await introspect(server, visitor.application, tokens.refresh_token!)).toMatchObject({
      active: true,
    });
  });

  it('of a machine gets nothing of an API where it has nothing, and none of what people have', async () => {
    const machine = await registerMachine(server);
    for (const scope of [{}, { scope: 'read' }, { scope: 'openid read' }]) {
      const [status] = await refusalOf(
        await machineToken(server, machine, { resource: ledger.identifier, ...scope }),
      );
      expect(status).toBe(400);
    }
    const nobody = await machineToken(server, machine, { resource: 'https://nobody.example' });
    expect(await refusalOf(nobody)).toEqual([400, 'invalid_target']);
  });

  it('of an application does not give it what machines have', async () => {
    await server.subjects.apis.permitClient(
      { clientId: visitor.application.clientId, api: ledger.identifier, permissions: ['audit'] },
      OPERATOR,
    );
    const response = await tokenRequest(server, visitor.application, {
      grant_type: 'client_credentials',
      resource: ledger.identifier,
    });
    expect((await refusalOf(response))[0]).toBe(400);
    const asked = await ask(server, visitor, { resource: ledger.identifier, scope: 'openid read audit' });
    const given = await tokensOf(await redeemFor(server, visitor.application, asked, ledger.identifier));
    expect(given.scope).toBe('read');
  });
});

describe('a token', () => {
  it('for one API tells the other nothing', async () => {
    const asked = await ask(server, visitor, { resource: vault.identifier, scope: 'openid open' });
    const other = await tokensOf(await redeemFor(server, visitor.application, asked, vault.identifier));
    expect(await introspect(server, vault.standing, tokens.access_token)).toEqual({ active: false });
    expect(await introspect(server, ledger.standing, other.access_token)).toEqual({ active: false });
    expect(await introspect(server, ledger.standing, tokens.access_token)).toMatchObject({ active: true });
  });

  it('tells a public application nothing, not even its own', async () => {
    const application = await registerApplication(server, { kind: 'browser' });
    const own = { ...visitor, application };
    const asked = await ask(server, own, { resource: ledger.identifier, scope: 'openid read' });
    const given = await tokensOf(await redeemFor(server, application, asked, ledger.identifier));
    const response = await fetch(`${server.issuer}/oauth/introspect`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ token: given.access_token, client_id: application.clientId }),
    });
    expect(await response.text()).not.toContain('"active":true');
  });

  it.each<[string, () => string]>([
    ['the access token for an API', () => tokens.access_token],
    ['an ID token', () => tokens.id_token!],
  ])('is no key to userinfo: %s', async (_name, token) => {
    const response = await fetch(`${server.issuer}/oauth/userinfo`, {
      headers: { authorization: `Bearer ${token()}` },
    });
    expect(response.status).toBe(401);
  });

  it('is no refresh token', async () => {
    const response = await refreshFor(server, visitor.application, tokens.access_token);
    expect(await refusalOf(response)).toEqual([400, 'invalid_grant']);
  });

  it('that is an ID token is no access token', async () => {
    expect(await introspect(server, visitor.application, tokens.id_token!)).toEqual({ active: false });
  });

  it('is not told by anybody who cannot prove who they are', async () => {
    const response = await fetch(`${server.issuer}/oauth/introspect`, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        authorization: basicOf({ ...ledger.standing, secret: 'wrong' }),
      },
      body: new URLSearchParams({ token: tokens.access_token }),
    });
    expect(await refusalOf(response)).toEqual([401, 'invalid_client']);
  });
});

describe('a forged token', () => {
  const partsOf = (token: string): [Record<string, unknown>, JWTPayload, string] => {
    const [header = '', payload = '', signature = ''] = token.split('.');
    const read = (part: string) =>
      JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>;
    return [read(header), read(payload), signature];
  };
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');
  /** What we publish, and our own private key, which nobody else has. */
  const ours = () => server.subjects.keys.keyset().signing.find(({ alg }) => alg === 'RS256')!;
  const signedByUs = async (payload: JWTPayload, header: Record<string, unknown> = {}): Promise<string> =>
    new SignJWT(payload)
      .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: ours().kid!, ...header })
      .sign(await importJWK(ours(), 'RS256'));

  it('is recognised by nothing but what is wrong with it: the same one, signed by us, is good', async () => {
    const [, payload] = partsOf(tokens.access_token);
    expect(await introspect(server, ledger.standing, await signedByUs(payload))).toMatchObject({
      active: true,
    });
  });

  it.each<
    [
      string,
      (header: Record<string, unknown>, payload: JWTPayload, signature: string) => string | Promise<string>,
    ]
  >([
    ['without a signature', (header, payload) => `${encode(header)}.${encode(payload)}.`],
    ['with alg none', (header, payload) => `${encode({ ...header, alg: 'none' })}.${encode(payload)}.`],
    [
      'with the signature of another payload',
      (header, payload, signature) =>
        `${encode(header)}.${encode({ ...payload, scope: 'write' })}.${signature}`,
    ],
    [
      'with our public key as a shared secret',
      (header, payload) => {
        const input = `${encode({ ...header, alg: 'HS256' })}.${encode(payload)}`;
        const { n } = ours();
        return `${input}.${createHmac('sha256', n!).update(input).digest('base64url')}`;
      },
    ],
    [
      'signed by a key that it brings along',
      async (header, payload) => {
        const { publicKey, privateKey } = await generateKeyPair('RS256');
        return new CompactSign(Buffer.from(JSON.stringify(payload)))
          .setProtectedHeader({ ...header, alg: 'RS256', jwk: await exportJWK(publicKey) })
          .sign(privateKey);
      },
    ],
    [
      'signed by another key under our kid',
      async (header, payload) => {
        const { privateKey } = await generateKeyPair('RS256');
        return new CompactSign(Buffer.from(JSON.stringify(payload)))
          .setProtectedHeader({ ...header, alg: 'RS256' })
          .sign(privateKey);
      },
    ],
    ['under a kid that we do not have', (_header, payload) => signedByUs(payload, { kid: '../../dev/null' })],
    [
      'under the kid of a key of another algorithm',
      (_header, payload) => {
        const { kid } = server.subjects.keys.keyset().signing.find(({ alg }) => alg === 'ES256')!;
        return signedByUs(payload, { kid });
      },
    ],
    ['of another type', (_header, payload) => signedByUs(payload, { typ: 'JWT' })],
    ['of another issuer', (_header, payload) => signedByUs({ ...payload, iss: 'https://evil.example' })],
    ['that has expired', (_header, payload) => signedByUs({ ...payload, exp: 1 })],
    [
      'that never expires',
      (_header, payload) =>
        signedByUs(Object.fromEntries(Object.entries(payload).filter(([name]) => name !== 'exp'))),
    ],
    [
      'with a critical header that we do not know',
      (header, payload) => {
        const input = `${encode({ ...header, crit: ['x'], x: 1 })}.${encode(payload)}`;
        const key = createPrivateKey({ key: ours(), format: 'jwk' });
        return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
      },
    ],
    [
      'whose grant is another’s',
      async (_header, payload) => {
        const [, other] = partsOf(
          await tokensOf(
            await redeemFor(
              server,
              visitor.application,
              await ask(server, visitor, { resource: ledger.identifier, scope: 'openid read' }),
              ledger.identifier,
            ),
          ).then(({ access_token: token }) => token),
        );
        return signedByUs({ ...payload, gth: other['gth'] });
      },
    ],
    ['whose grant is made up', (_header, payload) => signedByUs({ ...payload, gth: 'v1.x.y.z' })],
    [
      'with several audiences',
      (_header, payload) => signedByUs({ ...payload, aud: [ledger.identifier, 'x'] }),
    ],
  ])('%s is not active', async (_name, forge) => {
    const forged = await forge(...partsOf(tokens.access_token));
    for (const asking of [ledger.standing, visitor.application]) {
      expect(await introspect(server, asking, forged)).toEqual({ active: false });
    }
  });

  it.each(['a.b.c', '..', 'e30.e30.', `${'x'.repeat(30_000)}.y.z`, 'eyJhbGciOiJSUzI1NiJ9..', '\u0000.a.b'])(
    'that is none at all is not active: %s',
    async (token) => {
      expect(await introspect(server, ledger.standing, token)).toEqual({ active: false });
    },
  );
});
