/**
 * The provider builds its URLs from the request. Whoever could choose the Host header would choose the endpoints in
 * discovery, where a sign-in goes on, and which audience or `htu` counts as ours.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

import { randomToken } from '../../src/platform/ids.ts';
import {
  authorizationRequest,
  OPERATOR,
  registerApplication,
  registerPerson,
  type Application,
} from '../support/application.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import { sendRaw, type RawAnswer } from '../support/raw-http.ts';

const EVIL = 'evil.example';

type Forgery = [name: string, headers: Record<string, string>, prefix?: string];

const FORGERIES: Forgery[] = [
  ['Host', { host: EVIL }],
  ['Host with a port', { host: `${EVIL}:8443` }],
  ['X-Forwarded-Host', { 'x-forwarded-host': EVIL }],
  ['X-Forwarded-Proto', { 'x-forwarded-proto': `https://${EVIL}/` }],
  ['X-Forwarded-Port and -Prefix', { 'x-forwarded-port': '666', 'x-forwarded-prefix': `//${EVIL}` }],
  ['Forwarded', { forwarded: `for=192.0.2.1;host=${EVIL};proto=https` }],
  ['X-Original-URL and X-Rewrite-URL', { 'x-original-url': `//${EVIL}/`, 'x-rewrite-url': `//${EVIL}/` }],
  ['an absolute request line', { host: EVIL }, `http://${EVIL}`],
  ['an absolute https request line', {}, `HTTPS://user@${EVIL}:666`],
];

const ISSUERS = [
  ['http://localhost', undefined],
  ['https with a path', 'https://id.example/auth'],
] as const;

describe.each(ISSUERS)('an issuer at %s', (_name, issuer) => {
  let server: TestServer;
  let application: Application;
  let path: string;
  beforeAll(async () => {
    server = await startGatehouse(issuer ? { env: { GATEHOUSE_ISSUER: issuer } } : {});
    application = await registerApplication(server);
    path = new URL(server.issuer).pathname.replace(/\/$/, '');
  });
  afterAll(() => server.stop());

  const from =
    ([, headers, prefix = '']: Forgery) =>
    (target: string, more: Record<string, string> = {}, body?: string): Promise<RawAnswer> =>
      sendRaw(server, {
        target: `${prefix}${target}`,
        method: body === undefined ? 'GET' : 'POST',
        headers: {
          accept: 'text/html',
          ...(body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
          ...more,
          ...headers,
        },
        ...(body === undefined ? {} : { body }),
      });

  it.each(FORGERIES)('emits its own URLs alone in its metadata, whatever %s says', async (...forgery) => {
    const send = from(forgery);
    for (const target of [
      `${path}/.well-known/openid-configuration`,
      `/.well-known/oauth-authorization-server${path}`,
    ]) {
      const answer = await send(target);
      expect(answer.status).toBe(200);
      expect(answer.body).not.toContain(EVIL);
      const metadata = JSON.parse(answer.body) as Record<string, unknown>;
      expect(metadata['issuer']).toBe(server.issuer);
      const endpoints = Object.entries(metadata).filter(([name]) => /_endpoint$|_uri$/.test(name));
      expect(endpoints.length).toBeGreaterThan(6);
      for (const [, url] of endpoints) expect(String(url)).toMatch(new RegExp(`^${server.issuer}/`));
    }
  });

  it.each(FORGERIES)('leads a sign-in through its own pages alone, whatever %s says', async (...forgery) => {
    const send = from(forgery);
    const { email, password } = await registerPerson(server);
    const cookies = new Map<string, string>();
    const visit = async (target: string, body?: string): Promise<RawAnswer> => {
      const cookie = [...cookies].map((pair) => pair.join('=')).join('; ');
      const answer = await send(target, { cookie }, body);
      for (const line of answer.headers['set-cookie'] ?? []) {
        expect(line).not.toContain(EVIL);
        const [name = '', value = ''] = line.split(';')[0]!.split('=');
        cookies.set(name, value);
      }
      expect(answer.body).not.toContain(EVIL);
      return answer;
    };
    /** The path of a redirect that stays here; relative, or on the issuer's own origin. */
    const ownTarget = ({ headers }: RawAnswer): string => {
      const url = new URL(headers.location ?? '', server.issuer);
      expect(url.origin).toBe(new URL(server.issuer).origin);
      return url.pathname + url.search;
    };

    const request = new URL(authorizationRequest(server, application).url);
    const interaction = ownTarget(await visit(request.pathname + request.search));
    const page = await visit(interaction);
    const action = /<form[^>]* action="([^"]+)"/.exec(page.body)?.[1]?.replaceAll('&amp;', '&') ?? '';
    expect(action).toMatch(/^\/[a-z]/);
    const fields = new URLSearchParams({ identifier: email, password }).toString();
    const resume = ownTarget(await visit(action, fields));
    const back = await visit(resume);
    const callback = new URL(back.headers.location ?? '');
    expect(callback.origin).toBe('https://app.example');
    expect(callback.searchParams.get('iss')).toBe(server.issuer);
  });

  it('accepts a client assertion that names its own endpoint as the audience, and no other', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    const { client } = await server.subjects.clients.create(
      {
        name: 'Machine',
        kind: 'machine',
        authMethod: 'private_key_jwt',
        jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256', use: 'sig' }] },
      },
      OPERATOR,
    );
    const post = async (audience: string, forgery: Forgery): Promise<RawAnswer> => {
      const assertion = await new SignJWT({})
        .setProtectedHeader({ alg: 'ES256', kid: 'k' })
        .setIssuer(client.clientId)
        .setSubject(client.clientId)
        .setAudience(audience)
        .setJti(randomToken())
        .setIssuedAt()
        .setExpirationTime('1m')
        .sign(privateKey);
      const body = new URLSearchParams({
        grant_type: 'client_credentials',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertion,
      });
      return from(forgery)(`${path}/oauth/token`, { accept: 'application/json' }, body.toString());
    };
    for (const forgery of FORGERIES) {
      for (const scheme of ['http', 'https']) {
        const theirs = await post(`${scheme}://${EVIL}${path}/oauth/token`, forgery);
        expect([forgery[0], theirs.status]).toEqual([forgery[0], 401]);
        expect(JSON.parse(theirs.body)).toMatchObject({ error: 'invalid_client' });
      }
      const ours = await post(`${server.issuer}/oauth/token`, forgery);
      expect([forgery[0], ours.status]).toEqual([forgery[0], 200]);
    }
  });

  it('takes a DPoP proof for its own address, and for no other', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    const jwk = await exportJWK(publicKey);
    const machine = await server.subjects.clients.create({ name: 'Machine', kind: 'machine' }, OPERATOR);
    const authorization = `Basic ${Buffer.from(`${machine.client.clientId}:${machine.secret}`).toString('base64')}`;
    const post = async (htu: string, forgery: Forgery): Promise<RawAnswer> => {
      const dpop = await new SignJWT({ htm: 'POST', htu, jti: randomToken() })
        .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
        .setIssuedAt()
        .sign(privateKey);
      return from(forgery)(
        `${path}/oauth/token`,
        { accept: 'application/json', authorization, dpop },
        'grant_type=client_credentials',
      );
    };
    for (const forgery of FORGERIES) {
      const theirs = await post(`http://${EVIL}${path}/oauth/token`, forgery);
      expect([forgery[0], theirs.status]).toEqual([forgery[0], 400]);
      expect(JSON.parse(theirs.body)).toMatchObject({ error: 'invalid_dpop_proof' });
      const ours = await post(`${server.issuer}/oauth/token`, forgery);
      expect([forgery[0], ours.status]).toEqual([forgery[0], 200]);
    }
  });
});
