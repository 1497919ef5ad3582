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

/** @throws AppError `tls_file` (500) naming the file that cannot be read */
export function readTls({ keyFile, certificateFile, clientCaFile }: TlsFiles): SecureContextOptions {
  return {
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
