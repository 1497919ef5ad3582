/**
 * For generated requests: clients whose ids are addresses of documents, ids of that shape which lead nowhere good, and
 * certificates as a proxy passes them on, whole and spoilt.
 */
import fc from 'fast-check';

import { jwksOfCertificates } from '../../src/clients/mutual-tls.ts';
import { registerApplication } from './application.ts';
import { makeCertificate } from './certificates.ts';
import type { DocumentHost } from './document-host.ts';
import type { TestServer } from './gatehouse.ts';

const HEADER = 'x-client-certificate';
const VERIFIED = 'x-client-verify';

/** With these the server reads documents and certificates; names are looked up nowhere (RFC 6761 §6.5). */
export function oddClientSettings({ host }: DocumentHost): Record<string, string> {
  return {
    GATEHOUSE_TRUSTED_PROXIES: '127.0.0.0/8,::1',
    GATEHOUSE_MTLS_HEADER: HEADER,
    GATEHOUSE_MTLS_VERIFIED_HEADER: VERIFIED,
    GATEHOUSE_REGISTRATION_DOCUMENT_HOSTS: `*,${host},!*.example`,
    GATEHOUSE_OUTGOING_ALLOWED_HOSTS: 'localhost',
  };
}

export interface OddClients {
  /** Ids for requests that are otherwise right; none of them has a secret. */
  clientIds: readonly string[];
  /** The headers of a proxy. */
  certificates: fc.Arbitrary<Record<string, string>>;
}

export async function prepareOddClients(
  server: Pick<TestServer, 'subjects'>,
  documents: DocumentHost,
  redirectUri: string,
): Promise<OddClients> {
  const certified = makeCertificate({
    subject: [
      ['O', 'Odd, "Ltd" +\\'],
      ['CN', 'odd\u0000client'],
    ],
    alternativeNames: [
      ['URI', 'spiffe://odd.example/"a", DNS:other.example'],
      ['DNS', 'odd.example'],
      ['IP', '10.0.0.7'],
    ],
  });
  const expired = makeCertificate({ notAfter: new Date(Date.now() - 60_000) });
  const machine = {
    kind: 'machine',
    redirectUris: [],
    grantTypes: ['client_credentials'],
    scopes: [],
  } as const;
  const registered = await Promise.all([
    registerApplication(server, {
      ...machine,
      firstParty: false,
      consent: 'once',
      authMethod: 'tls_client_auth',
      tlsClientAuthSanDns: 'odd.example',
    }),
    registerApplication(server, {
      ...machine,
      firstParty: false,
      consent: 'once',
      authMethod: 'self_signed_tls_client_auth',
      jwks: jwksOfCertificates(certified.pem),
    }),
  ]);
  const certifiedIds = registered.map(({ clientId }) => clientId);
  const described = documentIds(documents, redirectUri);
  return {
    // As often the ones as the others.
    clientIds: described.flatMap((id, index) => [id, certifiedIds[index % certifiedIds.length]!]),
    certificates: fc.record({
      [HEADER]: fc.oneof(
        { weight: 2, arbitrary: fc.constant(encodeURIComponent(certified.pem)) },
        { weight: 1, arbitrary: fc.constant(encodeURIComponent(expired.pem)) },
        {
          weight: 3,
          arbitrary: fc.constantFrom(
            certified.der,
            `:${certified.der}:`,
            `${encodeURIComponent(certified.pem)}, ${encodeURIComponent(expired.pem)}`,
            encodeURIComponent(certified.pem + expired.pem),
            encodeURIComponent('-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----'),
            encodeURIComponent(certified.keyPem),
            '',
            '%',
            '%E0%A4%A',
          ),
        },
        { weight: 2, arbitrary: spoilt(encodeURIComponent(certified.pem)) },
        { weight: 1, arbitrary: fc.string({ maxLength: 40 }).map((text) => encodeURIComponent(text)) },
      ),
      [VERIFIED]: fc.constantFrom('SUCCESS', '0', 'FAILED:expired', ''),
    }),
  };
}

/** Few of them are asked for again and again: a minute has its limit, and beyond it the server is not to be had. */
function documentIds(documents: DocumentHost, redirectUri: string): string[] {
  const { host, at, serve } = documents;
  const described = { client_name: 'Odd', redirect_uris: [redirectUri], token_endpoint_auth_method: 'none' };
  return [
    serve('/app.json', described),
    serve('/app.json', described),
    serve('/wrong.json', '{"client_id":'),
    serve('/moved.json', (_req, res) => void res.writeHead(302, { location: at('/app.json') }).end()),
    `${at('/app.json')}#a`,
    `${at('/app.json')}?a`,
    `https://${host}`,
    `https://user@${host}/app.json`,
    `https://${host}\\app.json`,
    `https://${host}/a/../app.json`,
    `https://${host}/%00`,
    `https://${host}/${'a'.repeat(500)}`,
    'https:',
    'https://',
    'https:///a',
    'https://[/a',
    'https://[::1]/a',
    'https://[::1%25lo]/a',
    'https://169.254.169.254/latest/meta-data',
    'https://2130706433/a',
    'https://127.0.0.1:99999/a',
    'https://localhost/a',
    'https://a..example/a',
    `https://${'a'.repeat(250)}.example/a`,
    'https://xn--a.example/a',
    'https://%00.example/a',
    'https://\uD83D\uDE00.example/a',
    'HTTPS://app.example/a',
    'https://app.example:443/a',
  ];
}

/** A stretch of it replaced by something else that a header may hold. */
function spoilt(text: string): fc.Arbitrary<string> {
  return fc
    .tuple(fc.nat({ max: 10_000 }), fc.nat({ max: 60 }), fc.string({ maxLength: 20 }))
    .map(([number, length, other]) => {
      const at = number % text.length;
      return text.slice(0, at) + other + text.slice(at + length);
    });
}
