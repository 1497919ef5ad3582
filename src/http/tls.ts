import { readFileSync, statSync } from 'node:fs';
import type { SecureContextOptions } from 'node:tls';

import { AppError } from '../platform/errors.ts';

/** Where this server ends TLS itself. */
export interface TlsFiles {
  keyFile: string;
  /** The certificate, and those between it and its root. */
  certificateFile: string;
  /** The authorities whose certificates clients may authenticate with. */
  clientCaFile?: string;
  /** Whether connections are asked for a certificate; none need have one. */
  requestsCertificates: boolean;
  /** How often the files are looked at. */
  renewalPollMs?: number;
}

/** Those of TLS 1.3, and of TLS 1.2 what BCP 195 recommends (RFC 9325 §4.2), which FAPI 2.0 §5.2.2 asks for. */
const CIPHERS = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
].join(':');

/** @throws AppError `tls_file` (500) naming the file that cannot be read */
export function readTls({ keyFile, certificateFile, clientCaFile }: TlsFiles): SecureContextOptions {
  return {
    minVersion: 'TLSv1.2',
    ciphers: CIPHERS,
    key: readPem(keyFile),
    cert: readPem(certificateFile),
    ...(clientCaFile === undefined ? {} : { ca: readPem(clientCaFile) }),
  };
}

/** Changes whenever one of the files does: certificates are renewed while a server runs. */
export function versionOf({ keyFile, certificateFile, clientCaFile }: TlsFiles): string {
  return [keyFile, certificateFile, clientCaFile]
    .filter((file) => file !== undefined)
    .map((file) => `${statSync(file).mtimeMs} ${statSync(file).size}`)
    .join(' ');
}

function readPem(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new AppError('tls_file', 500, `The file ${file} cannot be read.`, { cause });
  }
}
