/** The commands and the program of docs/guides/mutual-tls.md, over TLS that ends in this server. */
import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { makeCertificate, type TestCertificate } from '../../support/certificates.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { openGuides, type Guide, type Guides } from '../../support/guides.ts';
import { freePort } from '../../support/ports.ts';

// Commands start a process each.
jest.setTimeout(90_000);

const SUBJECT = [
  ['C', 'CH'],
  ['O', 'Example'],
  ['CN', 'payments'],
] as const;

let server: TestServer;
let guides: Guides;
let guide: Guide;
let directory: string;
let authority: TestCertificate;

beforeAll(async () => {
  authority = makeCertificate({ subject: [['CN', 'Clients']], isAuthority: true });
  const site = makeCertificate({
    subject: [['CN', 'localhost']],
    alternativeNames: [
      ['DNS', 'localhost'],
      ['IP', '127.0.0.1'],
    ],
  });
  directory = await mkdtemp(path.join(os.tmpdir(), 'gh-tls-'));
  const files = { key: site.keyPem, certificate: site.pem, ca: authority.pem };
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(directory, name), text);
  const port = await freePort(1);
  server = await startGatehouse({
    env: {
      PORT: String(port),
      GATEHOUSE_ISSUER: `https://localhost:${port}`,
      GATEHOUSE_MTLS_ORIGIN: `https://127.0.0.1:${port}`,
      GATEHOUSE_TLS_KEY_PATH: path.join(directory, 'key'),
      GATEHOUSE_TLS_CERTIFICATE_PATH: path.join(directory, 'certificate'),
      GATEHOUSE_TLS_CLIENT_CA_PATH: path.join(directory, 'ca'),
      GATEHOUSE_TLS_REQUEST_CLIENT_CERTIFICATES: 'true',
    },
  });
  guides = await openGuides(server);
  guide = await guides.follow('mutual-tls');
  await writeFile(path.join(guides.folder, 'site.pem'), site.pem);
}, 120_000);
afterAll(async () => {
  await guides?.close();
  await server?.stop();
  await rm(directory, { recursive: true, force: true });
});

async function give(name: string, { keyPem, pem }: TestCertificate): Promise<void> {
  await writeFile(path.join(guides.folder, `${name}.key`), keyPem);
  await writeFile(path.join(guides.folder, `${name}.pem`), pem);
}

async function run(name: 'payments' | 'courier'): Promise<{ code: number | null; output: string }> {
  const program = guide.start(`node with-certificate.mjs ${name}`);
  return { code: await program.exited, output: program.output() };
}

const BOUND = { code: 0, output: 'bound to my certificate\n' };

it('a client with a certificate of the authority gets tokens bound to it', async () => {
  await give('payments', makeCertificate({ issuer: authority, subject: SUBJECT }));
  expect(await run('payments')).toEqual(BOUND);
});

it('a client with a certificate of its own does too', async () => {
  await guide.runLater('openssl req');
  expect(await run('courier')).toEqual(BOUND);
});

it('another certificate under the same name is refused, and the log says why', async () => {
  const subject = [['CN', 'courier']] as const;
  await give('courier', makeCertificate({ subject }));
  await give('payments', makeCertificate({ subject: SUBJECT }));
  for (const name of ['courier', 'payments'] as const) {
    const { code, output } = await run(name);
    expect(code).not.toBe(0);
    expect(output).toContain('invalid_client');
  }
  const log = await guide.runLater('audit list');
  expect(log).toContain('unregistered client certificate provided');
  expect(log).toContain('client certificate was not verified');
});
