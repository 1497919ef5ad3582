/** Certificates of clients (RFC 8705), as a proxy passes them on: what is let in, and beside it what is refused. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { X509Certificate } from 'node:crypto';
import * as openid from 'openid-client';

import { jwksOfCertificates } from '../../../src/clients/mutual-tls.ts';
import type { NewClient } from '../../../src/clients/service.ts';
import { machineToken, registerApi, tokensOf, type RegisteredApi } from '../../support/apis.ts';
import {
  authorizationRequest,
  authorize,
  codeOf,
  OPERATOR,
  redeem,
  refresh,
  registerApplication,
  registerPerson,
  tokenRequest,
  type Application,
  type Tokens,
} from '../../support/application.ts';
import { makeCertificate, type TestCertificate } from '../../support/certificates.ts';
import { proofKey, proven } from '../../support/dpop.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person } from '../../support/person.ts';
import { recordedOf } from '../../support/recorded.ts';

const HEADER = 'x-client-certificate';
const VERIFIED = 'x-client-verify';
const SUBJECT = [
  ['C', 'CH'],
  ['O', 'Example, Ltd'],
  ['CN', 'payments'],
] as const;

let server: TestServer;
/** The same deployment, whose proxies are elsewhere. */
let outside: TestServer;
let authority: TestCertificate;
let api: RegisteredApi;

beforeAll(async () => {
  authority = makeCertificate({ subject: [['CN', 'Clients']], isAuthority: true });
  const mtls = { GATEHOUSE_MTLS_HEADER: HEADER, GATEHOUSE_MTLS_VERIFIED_HEADER: VERIFIED };
  server = await startGatehouse({
    env: {
      ...mtls,
      GATEHOUSE_TRUSTED_PROXIES: '127.0.0.0/8,::1',
      GATEHOUSE_MTLS_ORIGIN: 'https://mtls.id.example',
    },
  });
  outside = await startGatehouse({
    sharing: server,
    env: { ...mtls, GATEHOUSE_TRUSTED_PROXIES: '10.1.2.3' },
  });
  api = await registerApi(server);
});
afterAll(async () => {
  await outside.stop();
  await server.stop();
});

type Headers = Record<string, string>;

/** As nginx passes it on. */
function proxied(certificate: TestCertificate | undefined, verify = 'SUCCESS'): Headers {
  return certificate ? { [HEADER]: encodeURIComponent(certificate.pem), [VERIFIED]: verify } : {};
}

const issued = (input: Parameters<typeof makeCertificate>[0] = {}): TestCertificate =>
  makeCertificate({ issuer: authority, subject: SUBJECT, ...input });

async function registerByCertificate(input: Partial<NewClient>): Promise<Application> {
  const application = await registerApplication(server, {
    name: 'Payments',
    kind: 'machine',
    redirectUris: [],
    grantTypes: ['client_credentials'],
    scopes: [],
    firstParty: false,
    consent: 'once',
    authMethod: 'tls_client_auth',
    ...input,
  });
  await server.subjects.apis.permitClient(
    { clientId: application.clientId, api: api.identifier, permissions: ['read'] },
    OPERATOR,
  );
  return application;
}

const ask = (at: TestServer, application: Application, headers: Headers): Promise<Response> =>
  tokenRequest(
    { issuer: at === outside ? `http://127.0.0.1:${at.env['PORT']}` : at.issuer },
    application,
    { grant_type: 'client_credentials', resource: api.identifier },
    { headers },
  );

function selfSigned(certificate: TestCertificate): Partial<NewClient> {
  return { authMethod: 'self_signed_tls_client_auth', jwks: jwksOfCertificates(certificate.pem) };
}

const IN_ORDER = { tlsClientAuthSubjectDn: 'CN=payments,O=Example\\, Ltd,C=CH' };

describe('a client that an authority certified', () => {
  it.each<[string, Partial<NewClient>, Parameters<typeof makeCertificate>[0]]>([
    ['its distinguished name', IN_ORDER, {}],
    [
      'that name written otherwise',
      { tlsClientAuthSubjectDn: 'cn=payments, o=Example\\2C Ltd, 2.5.4.6=CH' },
      {},
    ],
    [
      'a host name',
      { tlsClientAuthSanDns: 'Payments.example' },
      {
        alternativeNames: [
          ['DNS', 'other.example'],
          ['DNS', 'payments.example'],
        ],
      },
    ],
    [
      'a URI',
      { tlsClientAuthSanUri: 'spiffe://example/payments,1' },
      { alternativeNames: [['URI', 'spiffe://example/payments,1']] },
    ],
    ['an address', { tlsClientAuthSanIp: '10.0.0.7' }, { alternativeNames: [['IP', '10.0.0.7']] }],
    [
      'an e-mail address',
      { tlsClientAuthSanEmail: 'ops@payments.example' },
      { alternativeNames: [['email', 'ops@payments.example']] },
    ],
  ])('is known by %s', async (_name, input, certificate) => {
    const application = await registerByCertificate(input);
    expect((await ask(server, application, proxied(issued(certificate)))).status).toBe(200);
  });

  it.each<[string, Partial<NewClient>, () => Headers, string]>([
    ['that shows none', IN_ORDER, () => ({}), 'client certificate was not provided'],
    [
      'whose certificate the proxy did not verify',
      IN_ORDER,
      () => proxied(issued(), 'FAILED:self-signed certificate'),
      'client certificate was not verified',
    ],
    [
      'of whose certificate the proxy says nothing',
      IN_ORDER,
      () => ({ [HEADER]: proxied(issued())[HEADER]! }),
      'client certificate was not verified',
    ],
    [
      'with a certificate that names its subject in other ways alone',
      IN_ORDER,
      () => proxied(issued({ subject: [], alternativeNames: [['DNS', 'payments.example']] })),
      'certificate subject value does not match the registered one',
    ],
    [
      'with the certificate of another client',
      IN_ORDER,
      () =>
        proxied(
          issued({
            subject: [
              ['C', 'CH'],
              ['O', 'Example, Ltd'],
              ['CN', 'refunds'],
            ],
          }),
        ),
      'certificate subject value does not match the registered one',
    ],
    [
      'whose name only holds the registered one',
      { tlsClientAuthSubjectDn: 'CN=payments' },
      () => proxied(issued()),
      'certificate subject value does not match the registered one',
    ],
    [
      'whose one name spells the registered ones',
      { tlsClientAuthSubjectDn: 'CN=a,O=b' },
      () => proxied(issued({ subject: [['CN', 'a,O=b']] })),
      'certificate subject value does not match the registered one',
    ],
    [
      'whose URI spells a host name',
      { tlsClientAuthSanDns: 'payments.example' },
      () => proxied(issued({ alternativeNames: [['URI', 'x:1, DNS:payments.example']] })),
      'certificate subject value does not match the registered one',
    ],
    [
      'for all hosts of a domain',
      { tlsClientAuthSanDns: 'payments.example' },
      () => proxied(issued({ alternativeNames: [['DNS', '*.example']] })),
      'certificate subject value does not match the registered one',
    ],
    [
      'whose certificate has expired',
      IN_ORDER,
      () => proxied(issued({ notAfter: new Date(Date.now() - 60_000) })),
      'the client certificate has expired',
    ],
    [
      'whose certificate is not valid yet',
      IN_ORDER,
      () => proxied(issued({ notBefore: new Date(Date.now() + 3_600_000) })),
      'the client certificate is not valid yet',
    ],
    [
      'of which the proxy passes on garbage',
      IN_ORDER,
      () => ({ ...proxied(issued()), [HEADER]: 'garbage' }),
      'what the proxy passed on is no certificate',
    ],
    [
      'with two certificates in one header',
      IN_ORDER,
      () => ({
        ...proxied(issued()),
        [HEADER]: `${proxied(issued())[HEADER]}, ${proxied(issued())[HEADER]}`,
      }),
      'what the proxy passed on is no certificate',
    ],
  ])('is refused %s', async (_name, input, headers, reason) => {
    const refused = await ask(server, await registerByCertificate(input), headers());
    expect([refused.status, await refused.json()]).toMatchObject([401, { error: 'invalid_client' }]);
    expect(await recordedOf(server, refused)).toMatchObject([
      { type: 'token.refused', outcome: 'failure', payload: { error: 'invalid_client', reason } },
    ]);
  });

  it('is not believed by a header that no trusted proxy wrote', async () => {
    const application = await registerByCertificate(IN_ORDER);
    const forged = await ask(outside, application, proxied(issued()));
    expect([forged.status, await forged.json()]).toMatchObject([401, { error: 'invalid_client' }]);
    expect(await recordedOf(outside, forged)).toMatchObject([
      { payload: { reason: 'client certificate was not provided' } },
    ]);
  });
});

describe('a client that registered its own certificate', () => {
  it('shows that one, and no other', async () => {
    const own = makeCertificate({ subject: [['CN', 'self']] });
    const application = await registerByCertificate(selfSigned(own));
    // No authority speaks for it, so it does not matter what the proxy makes of it.
    expect((await ask(server, application, proxied(own, 'FAILED:self-signed certificate'))).status).toBe(200);

    const sameKey = makeCertificate({ subject: [['CN', 'self']], key: own.key });
    for (const other of [undefined, makeCertificate({ subject: [['CN', 'self']] }), sameKey, issued()]) {
      const refused = await ask(server, application, proxied(other));
      expect([refused.status, await refused.json()]).toMatchObject([401, { error: 'invalid_client' }]);
    }
    expect((await ask(outside, application, proxied(own))).status).toBe(401);
  });

  it('is refused while nobody can tell which one that is', async () => {
    const application = await registerByCertificate({
      authMethod: 'self_signed_tls_client_auth',
      jwksUri: 'https://127.0.0.1/jwks',
    });
    const refused = await ask(server, application, proxied(issued()));
    expect([refused.status, await refused.clone().json()]).toMatchObject([401, { error: 'invalid_client' }]);
    expect(await recordedOf(server, refused)).toMatchObject([
      { payload: { reason: expect.stringContaining('could not be read') } },
    ]);
  });

  it('is refused with it once it has expired', async () => {
    const own = makeCertificate({ notAfter: new Date(Date.now() - 60_000) });
    const refused = await ask(server, await registerByCertificate(selfSigned(own)), proxied(own));
    expect(refused.status).toBe(401);
    expect(await recordedOf(server, refused)).toMatchObject([
      { payload: { reason: 'the client certificate has expired' } },
    ]);
  });
});

describe('tokens that are bound to a certificate', () => {
  let certificate: TestCertificate;
  let other: TestCertificate;
  let person: Person;
  let credentials: Awaited<ReturnType<typeof registerPerson>>;

  beforeAll(async () => {
    certificate = issued();
    other = issued();
    credentials = await registerPerson(server);
    person = createPerson(server.issuer);
  });

  const thumbprintOf = ({ pem }: TestCertificate): string =>
    Buffer.from(new X509Certificate(pem).fingerprint256.replaceAll(':', ''), 'hex').toString('base64url');

  async function newCode(application: Application): Promise<{ code: string; verifier: string }> {
    const request = authorizationRequest(server, application);
    return { code: codeOf(await authorize(person, request, credentials)), verifier: request.verifier };
  }

  const userinfo = (token: string, headers: Headers): Promise<Response> =>
    fetch(`${server.issuer}/oauth/userinfo`, { headers: { authorization: `Bearer ${token}`, ...headers } });

  it('say so as JWTs, and to whoever introspects them', async () => {
    const application = await registerByCertificate({
      ...IN_ORDER,
      tlsClientCertificateBoundAccessTokens: true,
    });
    const { access_token: token } = await tokensOf(await ask(server, application, proxied(certificate)));
    const cnf = { 'x5t#S256': thumbprintOf(certificate) };
    expect(decodeJwt(token)).toMatchObject({ cnf });
    const answer = await fetch(`${server.issuer}/oauth/introspect`, {
      method: 'POST',
      headers: proxied(certificate),
      body: new URLSearchParams({ token, client_id: application.clientId }),
    });
    expect(await answer.json()).toMatchObject({ active: true, cnf });
  });

  it('are good for nothing without it, and a code redeemed without it stays good', async () => {
    const application = await registerApplication(server, {
      kind: 'browser',
      tlsClientCertificateBoundAccessTokens: true,
    });
    const code = await newCode(application);
    const without = await redeem(server, application, code);
    expect([without.status, await without.json()]).toMatchObject([400, { error: 'invalid_grant' }]);

    const answer = await redeem(server, application, code, { headers: proxied(certificate) });
    const tokens = (await answer.json()) as Required<Tokens>;
    expect(answer.status).toBe(200);
    expect((await userinfo(tokens.access_token, proxied(certificate))).status).toBe(200);
    for (const headers of [{}, proxied(other)]) {
      const refused = await userinfo(tokens.access_token, headers);
      expect(refused.status).toBe(401);
      expect(await recordedOf(server, refused)).toMatchObject([
        { type: 'userinfo.refused', payload: { reason: 'failed x5t#S256 verification' } },
      ]);
      // A public client has nothing but the certificate to prove itself by.
      expect((await refresh(server, application, tokens.refresh_token, { headers })).status).toBe(400);
    }
    const forged = await fetch(`http://127.0.0.1:${outside.env['PORT']}/oauth/userinfo`, {
      headers: { authorization: `Bearer ${tokens.access_token}`, ...proxied(certificate) },
    });
    expect(forged.status).toBe(401);
    const refreshed = await refresh(server, application, tokens.refresh_token, {
      headers: proxied(certificate),
    });
    expect(refreshed.status).toBe(200);
  });

  it('are bound to nothing besides: a proof of a key is refused, and nothing is spent', async () => {
    const application = await registerApplication(server, { tlsClientCertificateBoundAccessTokens: true });
    const code = await newCode(application);
    const { headers } = await proven(server.issuer, await proofKey());
    const refused = await redeem(server, application, code, {
      headers: { ...headers, ...proxied(certificate) },
    });
    expect([refused.status, await refused.json()]).toMatchObject([400, { error: 'invalid_request' }]);
    const answer = await redeem(server, application, code, { headers: proxied(certificate) });
    const { refresh_token: token = '' } = await tokensOf(answer);

    const proof = await proven(server.issuer, await proofKey());
    const twice = await refresh(server, application, token, {
      headers: { ...proof.headers, ...proxied(certificate) },
    });
    expect([twice.status, await twice.json()]).toMatchObject([400, { error: 'invalid_request' }]);
    const once = await refresh(server, application, token, { headers: proxied(certificate) });
    expect(once.status).toBe(200);
  });

  it('are had by openid-client, which finds the endpoints for it', async () => {
    const application = await registerByCertificate({
      ...IN_ORDER,
      tlsClientCertificateBoundAccessTokens: true,
    });
    const config = await openid.discovery(
      new URL(server.issuer),
      application.clientId,
      { use_mtls_endpoint_aliases: true },
      openid.TlsClientAuth(),
      { execute: [openid.allowInsecureRequests] },
    );
    expect(config.serverMetadata().mtls_endpoint_aliases).toMatchObject({
      token_endpoint: 'https://mtls.id.example/oauth/token',
      userinfo_endpoint: 'https://mtls.id.example/oauth/userinfo',
      pushed_authorization_request_endpoint: 'https://mtls.id.example/oauth/par',
    });
    // The proxy at that origin: it asks for the certificate, and passes it on.
    config[openid.customFetch] = (url, options) =>
      fetch(url.replace('https://mtls.id.example', server.issuer), {
        ...options,
        headers: { ...options.headers, ...proxied(certificate) },
      } as RequestInit);
    const tokens = await openid.clientCredentialsGrant(config, { resource: api.identifier });
    expect(decodeJwt(tokens.access_token)).toMatchObject({ aud: api.identifier });
  });
});

it('a client under FAPI 2.0 needs its certificate at every step, and no other proof', async () => {
  const application = await registerApplication(server, {
    authMethod: 'tls_client_auth',
    profile: 'fapi2',
    ...IN_ORDER,
  });
  const { clientId, redirectUri } = application;
  const own = proxied(issued());
  const post = async (
    endpoint: string,
    parameters: Headers,
    headers: Headers,
  ): Promise<[number, Headers]> => {
    const response = await fetch(`${server.issuer}/oauth/${endpoint}`, {
      method: 'POST',
      headers,
      body: new URLSearchParams({ client_id: clientId, ...parameters }),
    });
    return [response.status, (await response.json()) as Headers];
  };
  const request = authorizationRequest(server, application);
  const parameters = Object.fromEntries(new URL(request.url).searchParams);
  expect(await post('par', parameters, {})).toMatchObject([401, { error: 'invalid_client' }]);
  const [, { request_uri: pushed = '' }] = await post('par', parameters, own);
  const url = `${server.issuer}/oauth/authorize?${new URLSearchParams({ client_id: clientId, request_uri: pushed }).toString()}`;
  const person = createPerson(server.issuer);
  const code = codeOf(await authorize(person, { ...request, url }, await registerPerson(server)));
  const grant = {
    grant_type: 'authorization_code',
    code,
    redirect_uri: redirectUri,
    code_verifier: request.verifier,
  };
  expect(await post('token', grant, {})).toMatchObject([401, { error: 'invalid_client' }]);
  const [status, tokens] = await post('token', grant, own);
  expect([status, tokens['token_type']]).toEqual([200, 'Bearer']);
  const userinfo = (headers: Headers): Promise<Response> =>
    fetch(`${server.issuer}/oauth/userinfo`, {
      headers: { authorization: `Bearer ${tokens['access_token']}`, ...headers },
    });
  const another = proxied(issued({ subject: [['CN', 'other']] }));
  expect((await userinfo({})).status).toBe(401);
  expect((await userinfo(another)).status).toBe(401);
  expect((await userinfo(own)).status).toBe(200);
});

describe('what discovery says', () => {
  const metadataOf = async (at: TestServer): Promise<Record<string, unknown>> =>
    (await (
      await fetch(`http://127.0.0.1:${at.env['PORT']}/.well-known/openid-configuration`)
    ).json()) as Record<string, unknown>;

  it('names what a certificate is good for where one can arrive', async () => {
    expect(await metadataOf(server)).toMatchObject({
      tls_client_certificate_bound_access_tokens: true,
      token_endpoint_auth_methods_supported: expect.arrayContaining([
        'tls_client_auth',
        'self_signed_tls_client_auth',
      ]),
    });
  });

  it('says nothing of it where none can, and gives no unbound token to a client that must have bound ones', async () => {
    const plain = await startGatehouse({ sharing: server });
    const metadata = await metadataOf(plain);
    expect(metadata['token_endpoint_auth_methods_supported']).not.toEqual(
      expect.arrayContaining([expect.stringContaining('tls_client_auth')]),
    );
    expect(metadata).not.toHaveProperty('tls_client_certificate_bound_access_tokens');
    expect(metadata).not.toHaveProperty('mtls_endpoint_aliases');

    const { clientId, secret } = await registerByCertificate({
      authMethod: 'client_secret_basic',
      tlsClientCertificateBoundAccessTokens: true,
    });
    const refused = await machineToken(
      plain,
      { clientId, secret, redirectUri: '' },
      { resource: api.identifier },
    );
    expect([refused.status, await refused.json()]).toMatchObject([400, { error: 'invalid_grant' }]);
    await plain.stop();
  });
});
