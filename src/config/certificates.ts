/** From the settings of tls-settings.ts to what http/ and oidc/ take. */
import type { Config } from './schema.ts';

type TlsFiles = Record<'keyFile' | 'certificateFile', string> & {
  clientCaFile?: string;
  requestsCertificates: boolean;
};

interface CertificateHeaders {
  header: string;
  format: 'pem' | 'der';
  verifiedHeader?: string;
  isAlwaysVerified: boolean;
}

/** Undefined where a proxy ends TLS. */
export function tlsFiles({ tls }: Config): TlsFiles | undefined {
  if (tls.keyPath === undefined || tls.certificatePath === undefined) return undefined;
  return {
    keyFile: tls.keyPath,
    certificateFile: tls.certificatePath,
    ...(tls.clientCaPath === undefined ? {} : { clientCaFile: tls.clientCaPath }),
    requestsCertificates: tls.requestClientCertificates,
  };
}

/** For http/client-certificates.ts. */
export function certificateSettings({ tls, mtls }: Config): {
  headers: CertificateHeaders | undefined;
  isDirectVerified: boolean;
  isOffered: boolean;
  isVerifying: boolean;
  origin?: string;
} {
  const isDirectVerified = tls.requestClientCertificates && tls.clientCaPath !== undefined;
  const isProxyVerifying =
    mtls.header !== undefined && (mtls.verifiedHeader !== undefined || mtls.proxyVerifies);
  return {
    headers:
      mtls.header === undefined
        ? undefined
        : {
            header: mtls.header,
            format: mtls.headerFormat,
            ...(mtls.verifiedHeader === undefined ? {} : { verifiedHeader: mtls.verifiedHeader }),
            isAlwaysVerified: mtls.proxyVerifies,
          },
    isDirectVerified,
    isOffered: mtls.header !== undefined || tls.requestClientCertificates,
    isVerifying: isProxyVerifying || isDirectVerified,
    ...(mtls.origin === undefined ? {} : { origin: mtls.origin }),
  };
}
