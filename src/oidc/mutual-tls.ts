/**
 * Certificates of clients (RFC 8705): what the library asks about the one that came with a request, and what discovery
 * says. Where certificates come from, and whose word is believed, is in http/client-certificates.ts. The feature is
 * always on in the library, which would otherwise give unbound tokens to a client whose tokens must be bound; where no
 * certificate can arrive, discovery says nothing of it.
 */
import type { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { type Configuration, errors, type KoaContextWithOIDC, type Provider } from 'oidc-provider';

import { sameName } from '../clients/distinguished-name.ts';
import type { Clock } from '../platform/clock.ts';
import { aliasesOf, takeAliases } from './endpoint-aliases.ts';

export interface CertificateSource {
  /** Undefined where there is none; `unreadable` where a proxy passed on something else. */
  of: (
    req: IncomingMessage,
  ) => { certificate: X509Certificate; isVerified: boolean } | 'unreadable' | undefined;
  /** Whether certificates can arrive at all. */
  isOffered: boolean;
  /** Whether any can be verified, as `tls_client_auth` needs. */
  isVerifying: boolean;
  /** Where they are asked for, if not at the issuer's own origin. */
  origin?: string;
}

export interface MutualTls {
  feature: NonNullable<NonNullable<Configuration['features']>['mTLS']>;
  /** Keeps discovery truthful, and takes what is signed for the addresses that it tells. */
  bind: (provider: Provider) => void;
}

export function createMutualTls({ source, clock }: { source: CertificateSource; clock: Clock }): MutualTls {
  /** @throws InvalidClientAuth, InvalidGrant, InvalidToken where there is one that must not count */
  const presented = (ctx: KoaContextWithOIDC): X509Certificate | undefined => {
    const found = source.of(ctx.req);
    if (found === undefined) return undefined;
    if (found === 'unreadable') throw refusal(ctx, 'what the proxy passed on is no certificate');
    const { validFromDate, validToDate } = found.certificate;
    const now = clock.now();
    if (now < validFromDate) throw refusal(ctx, 'the client certificate is not valid yet');
    if (now > validToDate) throw refusal(ctx, 'the client certificate has expired');
    return found.certificate;
  };

  return {
    feature: {
      enabled: true,
      tlsClientAuth: true,
      selfSignedTlsClientAuth: true,
      certificateBoundAccessTokens: true,
      getCertificate: presented,
      certificateAuthorized: ({ req }) => {
        const found = source.of(req);
        return typeof found === 'object' && found.isVerified;
      },
      certificateSubjectMatches: (ctx, property, expected) => {
        const certificate = presented(ctx);
        return certificate !== undefined && isFor(certificate, property, expected);
      },
    },
    bind: (provider) => {
      if (source.isOffered && source.origin !== undefined) takeAliases(provider, source.origin);
      provider.use((async (ctx: KoaContextWithOIDC, next: () => Promise<void>) => {
        await next();
        if (ctx.oidc?.route === 'discovery' && ctx.status === 200) describe(ctx.body as Metadata, source);
      }) as unknown as Parameters<Provider['use']>[0]);
    },
  };
}

type Metadata = Record<string, unknown>;

/** Nothing that cannot work here is advertised. */
function describe(metadata: Metadata, { isOffered, isVerifying, origin }: CertificateSource): void {
  for (const [name, value] of Object.entries(metadata)) {
    if (!name.endsWith('_auth_methods_supported') || !Array.isArray(value)) continue;
    metadata[name] = (value as string[]).filter(
      (method) =>
        !(method === 'tls_client_auth' && !isVerifying) &&
        !(method === 'self_signed_tls_client_auth' && !isOffered),
    );
  }
  if (!isOffered) delete metadata['tls_client_certificate_bound_access_tokens'];
  if (isOffered && origin !== undefined) metadata['mtls_endpoint_aliases'] = aliasesOf(metadata, origin);
}

/** In the words of the endpoint that was asked; why is for the operator. */
function refusal({ oidc }: KoaContextWithOIDC, reason: string): Error {
  if (oidc.route === 'userinfo') return new errors.InvalidToken(reason);
  const isAuthentication = oidc.client?.clientAuthMethod?.endsWith('tls_client_auth');
  return isAuthentication ? new errors.InvalidClientAuth(reason) : new errors.InvalidGrant(reason);
}

/** @param property by its registered name (RFC 8705 §2.1.2) */
function isFor(certificate: X509Certificate, property: string, expected: string): boolean {
  const names = (type: string): string[] =>
    alternativeNames(certificate)
      .filter(([ownType]) => ownType === type)
      .map(([, name]) => name);
  switch (property) {
    case 'tls_client_auth_subject_dn':
      // A certificate may name its subject in its alternative names alone (RFC 5280 §4.1.2.6), whatever its type here says.
      return sameName(expected, certificate.subject ?? '');
    case 'tls_client_auth_san_dns':
      return names('DNS').some((name) => name.toLowerCase() === expected.toLowerCase());
    case 'tls_client_auth_san_uri':
      return names('URI').includes(expected);
    case 'tls_client_auth_san_ip':
      return names('IP Address').some((address) => plainAddress(address) === plainAddress(expected));
    case 'tls_client_auth_san_email':
      return names('email').includes(expected);
    default:
      return false;
  }
}

/** Node.js writes `DNS:a.example, URI:"b, c"`: in quotes, as JSON, what could be taken for the end of a name. */
function alternativeNames({ subjectAltName = '' }: X509Certificate): [type: string, name: string][] {
  const names: [string, string][] = [];
  const next = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y;
  for (let match = next.exec(subjectAltName); match; match = next.exec(subjectAltName)) {
    const [whole, type = '', name = ''] = match;
    if (whole === '') break;
    names.push([type, name.startsWith('"') ? (JSON.parse(name) as string) : name]);
  }
  return names;
}

function plainAddress(address: string): string {
  return isIP(address) === 6 ? new URL(`http://[${address}]`).hostname : address;
}
