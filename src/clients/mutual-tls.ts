/**
 * Clients that authenticate with a certificate (RFC 8705): one that an authority issued to a registered subject
 * (`tls_client_auth`, §2.1), or one of their own whose certificate is registered (`self_signed_tls_client_auth`, §2.2).
 */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';

import { AppError } from '../platform/errors.ts';
import type { ClientDefinition, Jwks } from './client.ts';
import { isDistinguishedName } from './distinguished-name.ts';

/** The properties of a subject that a client can be known by; each has exactly one of them. */
const CERTIFICATE_SUBJECTS = [
  'tlsClientAuthSubjectDn',
  'tlsClientAuthSanDns',
  'tlsClientAuthSanUri',
  'tlsClientAuthSanIp',
  'tlsClientAuthSanEmail',
] as const;

const DNS_NAME = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/i;

/** How each must look: what it is, for whoever gave something else. */
const FORMS: Record<(typeof CERTIFICATE_SUBJECTS)[number], readonly [string, (value: string) => boolean]> = {
  tlsClientAuthSubjectDn: [
    'tls_client_auth_subject_dn must be a distinguished name such as CN=payments,O=Example,C=CH',
    isDistinguishedName,
  ],
  tlsClientAuthSanDns: ['tls_client_auth_san_dns must be a host name', (value) => DNS_NAME.test(value)],
  tlsClientAuthSanUri: ['tls_client_auth_san_uri must be a URI', (value) => URL.canParse(value)],
  tlsClientAuthSanIp: ['tls_client_auth_san_ip must be an IP address', (value) => isIP(value) !== 0],
  tlsClientAuthSanEmail: [
    'tls_client_auth_san_email must be an e-mail address',
    (value) => /^[^@\s]+@[^@\s]+$/.test(value),
  ],
};

/** Whether the client authenticates by a certificate. */
export function hasCertificate({ authMethod }: Pick<ClientDefinition, 'authMethod'>): boolean {
  return authMethod === 'tls_client_auth' || authMethod === 'self_signed_tls_client_auth';
}

/** @throws AppError `invalid_client` (400), whose message says what to do */
export function checkMutualTls(definition: ClientDefinition): void {
  const { authMethod, jwks, jwksUri } = definition;
  const subjects = CERTIFICATE_SUBJECTS.filter((property) => definition[property] !== undefined);
  if (authMethod !== 'tls_client_auth' && subjects.length > 0) {
    throw refuse(`the subject of a certificate is for tls_client_auth, and this client uses ${authMethod}`);
  }
  if (authMethod === 'tls_client_auth' && subjects.length !== 1) {
    throw refuse(
      'tls_client_auth needs exactly one of tls_client_auth_subject_dn, tls_client_auth_san_dns, tls_client_auth_san_uri, tls_client_auth_san_ip and tls_client_auth_san_email',
    );
  }
  for (const property of subjects) {
    const [form, fits] = FORMS[property];
    if (!fits(definition[property]!)) throw refuse(form);
  }
  if (authMethod === 'self_signed_tls_client_auth') {
    if ((jwks === undefined) === (jwksUri === undefined)) {
      throw refuse('self_signed_tls_client_auth needs the certificate, in one of jwks and jwks_uri');
    }
    if (jwks !== undefined) checkCertificates(jwks);
  }
  if (definition.tlsClientCertificateBoundAccessTokens && definition.dpopBoundAccessTokens) {
    throw refuse(
      'access tokens are bound to a certificate or to a DPoP key: leave one of tls_client_certificate_bound_access_tokens and dpop_bound_access_tokens',
    );
  }
  if (definition.requireDpopNonce && definition.tlsClientCertificateBoundAccessTokens) {
    throw refuse('require_dpop_nonce is for access tokens that are bound by DPoP');
  }
}

/**
 * A key set of certificates in PEM, as `self_signed_tls_client_auth` takes it.
 *
 * @throws AppError `invalid_client` (400) where one of them cannot be read
 */
export function jwksOfCertificates(pem: string): Jwks {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return {
    keys: blocks.map((block) => {
      const certificate = readCertificate(block);
      if (!certificate) throw refuse('the file holds a certificate that cannot be read');
      const key: Record<string, unknown> = certificate.publicKey.export({ format: 'jwk' });
      key['x5c'] = [certificate.raw.toString('base64')];
      return key;
    }),
  };
}

/** RFC 8705 §2.2.2: the certificate is found in the `x5c` of a key, which must be that certificate's own. */
function checkCertificates({ keys }: Jwks): void {
  const certified = keys.filter(({ x5c }) => x5c !== undefined);
  if (certified.length === 0) {
    throw refuse('self_signed_tls_client_auth needs a key with "x5c", which holds the certificate');
  }
  for (const key of certified) {
    const [first] = Array.isArray(key['x5c']) ? (key['x5c'] as unknown[]) : [];
    const certificate = typeof first === 'string' ? readCertificate(Buffer.from(first, 'base64')) : undefined;
    if (!certificate) throw refuse('"x5c" of a key holds no certificate');
    const own = certificate.publicKey.export({ format: 'jwk' }) as Record<string, unknown>;
    if (!['kty', 'crv', 'n', 'e', 'x', 'y'].every((member) => own[member] === key[member])) {
      throw refuse('"x5c" of a key holds the certificate of another key');
    }
  }
}

function readCertificate(input: string | Buffer): X509Certificate | undefined {
  try {
    return new X509Certificate(input);
  } catch {
    return undefined;
  }
}

function refuse(advice: string): AppError {
  return new AppError('invalid_client', 400, `This client cannot be registered so: ${advice}.`);
}
