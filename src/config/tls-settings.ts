/** Where TLS ends, how the certificates of clients arrive (RFC 8705), and the other proof of possession (RFC 9449). */
import { z } from 'zod';

import { headerNameFault, webUrlFault } from './formats.ts';

function described<S extends z.ZodType>(schema: S, description: string): S {
  return schema.meta({ description });
}

function text(fault: (value: string) => string | undefined): z.ZodString {
  return z.string().superRefine((value, context) => {
    const message = fault(value);
    if (message !== undefined) context.addIssue({ code: 'custom', message });
  });
}

export const tlsSettings = {
  tls: z
    .strictObject({
      keyPath: described(
        z.string().min(1).exactOptional(),
        'Where no proxy ends TLS: the file with the private key, in PEM. It is read again when it changes.',
      ),
      certificatePath: described(
        z.string().min(1).exactOptional(),
        'The file with its certificate, and those between it and its root.',
      ),
      clientCaPath: described(
        z.string().min(1).exactOptional(),
        'The file with the authorities whose certificates clients may authenticate with (`tls_client_auth`).',
      ),
      requestClientCertificates: described(
        z.boolean().default(false),
        'Whether connections are asked for a client certificate (RFC 8705). Browsers that have one then ask their person too, so give such clients an origin of their own where you can.',
      ),
    })
    .prefault({}),
  mtls: z
    .strictObject({
      header: described(
        text(headerNameFault).exactOptional(),
        'Where a trusted proxy ends TLS: the header in which it passes on the client’s certificate. Believed only from `trustedProxies`.',
      ),
      headerFormat: described(
        z.enum(['pem', 'der']).default('pem'),
        '`pem`: URL-encoded PEM, as nginx writes `$ssl_client_escaped_cert`; `der`: base64, as RFC 9440 has it and HAProxy writes it.',
      ),
      verifiedHeader: described(
        text(headerNameFault).exactOptional(),
        'The header in which the proxy says whether it verified the certificate: `SUCCESS` or `0`. Needed for `tls_client_auth`, unless `proxyVerifies`.',
      ),
      proxyVerifies: described(
        z.boolean().default(false),
        'Whether the proxy lets nobody in with a certificate that it did not verify, so that there is nothing to say.',
      ),
      origin: described(
        text(webUrlFault).exactOptional(),
        'The origin at which certificates are asked for, where that is not the issuer’s: told to clients as `mtls_endpoint_aliases` (RFC 8705 §5).',
      ),
    })
    .prefault({}),
  dpop: z
    .strictObject({
      requireNonce: described(
        z.boolean().default(false),
        'Whether every DPoP proof must carry a nonce of this server (RFC 9449 §8). Clients can be told so one by one.',
      ),
    })
    .prefault({}),
};
