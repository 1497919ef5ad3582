import { request } from 'node:https';

import type { TestCertificate } from './certificates.ts';

interface Options {
  method?: string;
  headers?: Record<string, string>;
  body?: unknown;
}

/** A `fetch` with a certificate of its own, for what of it openid-client uses: the platform's cannot show one. */
export function tlsFetch({
  ca,
  certificate,
  headers: extra,
}: {
  /** What the server's certificate is checked against. */
  ca: string;
  certificate?: TestCertificate;
  headers?: Record<string, string>;
}): (url: string, options: Options) => Promise<Response> {
  return (url, { method = 'GET', headers, body }) =>
    new Promise((resolve, reject) => {
      const shown = certificate ? { key: certificate.keyPem, cert: certificate.pem } : {};
      const text = body instanceof URLSearchParams || typeof body === 'string' ? body.toString() : '';
      const sent = request(
        url,
        { method, ca, ...shown, agent: false, headers: { ...headers, ...extra } },
        (answer) => {
          const parts: Buffer[] = [];
          answer.on('data', (part: Buffer) => parts.push(part));
          answer.on('end', () =>
            resolve(
              new Response(Buffer.concat(parts), {
                status: answer.statusCode ?? 0,
                headers: new Headers(
                  Object.entries(answer.headers).map(([name, value]) => [name, String(value)]),
                ),
              }),
            ),
          );
        },
      );
      sent.on('error', reject);
      sent.end(text);
    });
}
