/** TLS that ends in this server, and the certificates of clients that come with it (RFC 8705), as openid-client shows them. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import * as openid from 'openid-client';

import { jwksOfCertificates } from '../../../src/clients/mutual-tls.ts';
import type { NewClient } from '../../../src/clients/service.ts';
import { OPERATOR } from '../../support/application.ts';
import { makeCertificate, type TestCertificate } from '../../support/certificates.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { freePort } from '../../support/ports.ts';
import { tlsFetch } from '../../support/tls-fetch.ts';

const SUBJECT = [
  ['O', 'Example'],
  ['CN', 'payments'],
] as const;
const IN_ORDER = { tlsClientAuthSubjectDn: 'CN=payments,O=Example' };

const issued = (input: Parameters<typeof makeCertificate>[0] = {}): TestCertificate =>
  makeCertificate({ issuer: authority, subject: SUBJECT, ...input });

let direct: TestServer;
let directory: string;
let trusted: TestCertificate;
let authority: TestCertificate;

beforeAll(async () => {
  authority = makeCertificate({ subject: [['CN', 'Clients']], isAuthority: true });
  directory = await mkdtemp(path.join(os.tmpdir(), 'gh-tls-'));
  trusted = makeCertificate({ subject: [['CN', 'localhost']], alternativeNames: [['DNS', 'localhost']] });
  const files = { key: trusted.keyPem, certificate: trusted.pem, ca: authority.pem };
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(directory, name), text);
  const port = await freePort(1);
  direct = await startGatehouse({
    env: {
      PORT: String(port),
      GATEHOUSE_ISSUER: `https://localhost:${port}`,
      GATEHOUSE_TLS_KEY_PATH: path.join(directory, 'key'),
      GATEHOUSE_TLS_CERTIFICATE_PATH: path.join(directory, 'certificate'),
      GATEHOUSE_TLS_CLIENT_CA_PATH: path.join(directory, 'ca'),
      GATEHOUSE_TLS_REQUEST_CLIENT_CERTIFICATES: 'true',
    },
  });
});
afterAll(async () => {
  await direct.stop();
  await rm(directory, { recursive: true });
});

async function grant(
  input: Partial<NewClient>,
  authentication: openid.ClientAuth,
  certificate?: TestCertificate,
  headers: Record<string, string> = {},
): Promise<openid.TokenEndpointResponse> {
  const { client } = await direct.subjects.clients.create(
    { name: 'Machine', kind: 'machine', authMethod: 'tls_client_auth', ...input },
    OPERATOR,
  );
  const config = await openid.discovery(new URL(direct.issuer), client.clientId, {}, authentication, {
    [openid.customFetch]: tlsFetch({ ca: trusted.pem, headers, ...(certificate ? { certificate } : {}) }),
  });
  return openid.clientCredentialsGrant(config);
}

it('lets a client in by the certificate of its connection', async () => {
  const tokens = await grant(
    { ...IN_ORDER, tlsClientCertificateBoundAccessTokens: true },
    openid.TlsClientAuth(),
    issued(),
  );
  expect(tokens.access_token).toEqual(expect.any(String));
});

it('lets a client in by its own', async () => {
  const own = makeCertificate({ subject: [['CN', 'self']] });
  expect(
    (
      await grant(
        { authMethod: 'self_signed_tls_client_auth', jwks: jwksOfCertificates(own.pem) },
        openid.TlsClientAuth(),
        own,
      )
    ).access_token,
  ).toEqual(expect.any(String));
});

it.each<[string, () => TestCertificate | undefined, () => Record<string, string>]>([
  ['without a certificate', () => undefined, () => ({})],
  ['with one that it made itself', () => makeCertificate({ subject: SUBJECT }), () => ({})],
  ['with one that has expired', () => issued({ notAfter: new Date(Date.now() - 60_000) }), () => ({})],
  [
    'with a header that claims one',
    () => undefined,
    () => ({ 'x-client-certificate': encodeURIComponent(issued().pem), 'x-client-verify': 'SUCCESS' }),
  ],
])('refuses a client %s', async (_name, certificate, headers) => {
  await expect(grant(IN_ORDER, openid.TlsClientAuth(), certificate(), headers())).rejects.toMatchObject({
    error: 'invalid_client',
    status: 401,
  });
});

it('has nothing to say to one whose certificate is forged', async () => {
  const stranger = makeCertificate({ subject: [['CN', 'Clients']], isAuthority: true });
  const forged = makeCertificate({ issuer: stranger, subject: SUBJECT });
  // Node.js closes the connection where a signature is wrong.
  await expect(grant(IN_ORDER, openid.TlsClientAuth(), forged)).rejects.toThrow();
});
