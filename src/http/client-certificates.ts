/**
 * The certificate that a client presented (RFC 8705), from whoever ended its TLS: a trusted proxy, which passes it on in
 * a header, or this server itself. A header from anybody else is taken off before anyone can read it, and where a
 * trusted proxy speaks its own certificate is never mistaken for the client's.
 */
import type { Middleware } from 'koa';
import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';

import { createTrustedProxies } from './trusted-proxies.ts';

export interface PresentedCertificate {
  certificate: X509Certificate;
  /** Whether it was found to be issued by an authority that is trusted for clients. */
  isVerified: boolean;
}

export interface CertificateHeaders {
  /** The header that carries the certificate. */
  header: string;
  /** `pem`: URL-encoded, as nginx writes it; `der`: base64, as RFC 9440 and HAProxy do. */
  format: 'pem' | 'der';
  /** The header that says whether the proxy verified it; without one it is as `isAlwaysVerified` says. */
  verifiedHeader?: string;
  isAlwaysVerified: boolean;
}

export interface CertificateSettings {
  /** Undefined where no proxy passes certificates on. */
  headers: CertificateHeaders | undefined;
  /** Whether this server itself asks for certificates, and has authorities to judge them by. */
  isDirectVerified: boolean;
  /** Whether certificates can arrive at all. */
  isOffered: boolean;
  /** Whether any can be verified. */
  isVerifying: boolean;
  /** Where they are asked for, if not at the issuer's own origin. */
  origin?: string;
}

export interface ClientCertificates extends Pick<
  CertificateSettings,
  'isOffered' | 'isVerifying' | 'origin'
> {
  /** Undefined where there is none; `unreadable` where the proxy passed on something else. */
  of: (req: IncomingMessage) => PresentedCertificate | 'unreadable' | undefined;
  /** Goes before whatever reads headers. */
  dropForged: Middleware;
}

/** nginx and Apache say SUCCESS, HAProxy gives OpenSSL's number of the error, 0 for none. */
const VERIFIED: ReadonlySet<string> = new Set(['SUCCESS', '0']);
const MAX_HEADER_CHARACTERS = 16_000;

/** @param trustedProxies addresses or networks */
export function createClientCertificates({
  trustedProxies,
  headers,
  isDirectVerified,
  ...source
}: CertificateSettings & { trustedProxies: readonly string[] }): ClientCertificates {
  const trusted = createTrustedProxies(trustedProxies);
  const header = headers?.header.toLowerCase();
  const verifiedHeader = headers?.verifiedHeader?.toLowerCase();
  const read = new WeakMap<IncomingMessage, PresentedCertificate | 'unreadable' | undefined>();

  const fromHeaders = (req: IncomingMessage): PresentedCertificate | 'unreadable' | undefined => {
    const text = req.headers[header!];
    if (text === undefined || text === '') return undefined;
    const certificate = typeof text === 'string' ? parseHeader(text, headers!.format) : undefined;
    if (!certificate) return 'unreadable';
    const isVerified =
      verifiedHeader === undefined
        ? headers!.isAlwaysVerified
        : VERIFIED.has(String(req.headers[verifiedHeader]));
    return { certificate, isVerified };
  };

  const fromConnection = ({ socket }: IncomingMessage): PresentedCertificate | undefined => {
    if (!(socket instanceof TLSSocket)) return undefined;
    const certificate = socket.getPeerX509Certificate();
    return certificate && { certificate, isVerified: isDirectVerified && socket.authorized };
  };

  return {
    ...source,
    of: (req) => {
      if (!read.has(req)) {
        const isProxied = trusted.includes(req.socket.remoteAddress);
        const ofProxied = header === undefined ? undefined : fromHeaders;
        read.set(req, isProxied ? ofProxied?.(req) : fromConnection(req));
      }
      return read.get(req);
    },
    dropForged: async ({ req }, next) => {
      if (!trusted.includes(req.socket.remoteAddress)) {
        if (header !== undefined) delete req.headers[header];
        if (verifiedHeader !== undefined) delete req.headers[verifiedHeader];
      }
      await next();
    },
  };
}

/** One certificate and nothing beside it: a header that was sent twice arrives joined, and is none. */
function parseHeader(text: string, format: CertificateHeaders['format']): X509Certificate | undefined {
  if (text.length > MAX_HEADER_CHARACTERS) return undefined;
  try {
    if (format === 'pem') {
      const pem = decodeURIComponent(text).trim();
      return /^-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----$/.test(pem)
        ? new X509Certificate(pem)
        : undefined;
    }
    const base64 = text.replace(/^:(.*):$/, '$1');
    return /^[A-Za-z0-9+/]+={0,2}$/.test(base64)
      ? new X509Certificate(Buffer.from(base64, 'base64'))
      : undefined;
  } catch {
    return undefined;
  }
}
