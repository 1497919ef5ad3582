import { expect, it } from '@jest/globals';
import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';

import { createClientCertificates } from '../../../src/http/client-certificates.ts';
import { makeCertificate } from '../../support/certificates.ts';

const OWN = new X509Certificate(makeCertificate().pem);
const HEADERS = { header: 'X-Cert', format: 'pem', isAlwaysVerified: true } as const;

/** A request over TLS, whose other end showed a certificate of its own. */
function requestFrom(remoteAddress: string): IncomingMessage {
  const socket = Object.create(TLSSocket.prototype, {
    remoteAddress: { value: remoteAddress },
    authorized: { value: true },
    getPeerX509Certificate: { value: () => OWN },
  }) as TLSSocket;
  return { socket, headers: {} } as unknown as IncomingMessage;
}

it.each([
  ['that passes certificates on', HEADERS],
  ['that passes none on', undefined],
])('the certificate of a trusted proxy %s is not the client’s', (_, headers) => {
  const certificates = createClientCertificates({
    trustedProxies: ['10.0.0.1'],
    headers,
    isDirectVerified: true,
    isOffered: true,
    isVerifying: true,
  });
  expect(certificates.of(requestFrom('10.0.0.1'))).toBeUndefined();
  expect(certificates.of(requestFrom('192.0.2.7'))).toEqual({ certificate: OWN, isVerified: true });
});
