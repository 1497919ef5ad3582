import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { connect, type ConnectionOptions } from 'node:tls';

import { createListener } from '../../../src/http/listener.ts';
import { makeCertificate, type TestCertificate } from '../../support/certificates.ts';
import { eventually } from '../../support/eventually.ts';

let directory: string;
const files = () => ({
  keyFile: path.join(directory, 'key'),
  certificateFile: path.join(directory, 'certificate'),
  requestsCertificates: false,
});

beforeAll(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'gh-listener-'));
});
afterAll(() => rm(directory, { recursive: true }));

async function write({ keyPem, pem }: { keyPem: string; pem: string }): Promise<void> {
  await writeFile(path.join(directory, 'key'), keyPem);
  await writeFile(path.join(directory, 'certificate'), pem);
}

/** The certificate that new connections get. */
function served(port: number, options: ConnectionOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options }, () => {
      resolve(socket.getPeerX509Certificate()!.raw.toString('base64'));
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

it('serves a renewed certificate without a restart, and the old one while the files are in disorder', async () => {
  const [old, renewed]: TestCertificate[] = [makeCertificate(), makeCertificate()];
  await write(old!);
  const listener = createListener((_request, response) => response.end(), {
    ...files(),
    renewalPollMs: 20,
  });
  const { port } = await listener.listen({ port: 0, address: '127.0.0.1' });
  expect(await served(port)).toBe(old!.der);
  await writeFile(path.join(directory, 'key'), renewed!.keyPem);
  expect(await served(port)).toBe(old!.der);
  await writeFile(path.join(directory, 'certificate'), renewed!.pem);
  await eventually(async () => expect(await served(port)).toBe(renewed!.der));
  await listener.close(1);
});

it('speaks TLS 1.2 with what BCP 195 recommends, also after a renewal, and nothing older', async () => {
  const [old, renewed]: TestCertificate[] = [makeCertificate(), makeCertificate()];
  await write(old!);
  const listener = createListener((_request, response) => response.end(), { ...files(), renewalPollMs: 20 });
  const { port } = await listener.listen({ port: 0, address: '127.0.0.1' });
  const by = (version: 'TLSv1.1' | 'TLSv1.2', ciphers: string): Promise<string> =>
    served(port, { minVersion: version, maxVersion: version, ciphers });
  const rules = async (current: TestCertificate): Promise<void> => {
    expect(await by('TLSv1.2', 'ECDHE-ECDSA-AES128-GCM-SHA256')).toBe(current.der);
    for (const weak of ['ECDHE-ECDSA-AES128-SHA256', 'ECDHE-ECDSA-AES256-SHA']) {
      await expect(by('TLSv1.2', weak)).rejects.toThrow(/handshake failure/);
    }
    await expect(by('TLSv1.1', 'ALL@SECLEVEL=0')).rejects.toThrow(/protocol version/);
  };
  await rules(old!);
  await write(renewed!);
  await eventually(async () => expect(await served(port)).toBe(renewed!.der));
  await rules(renewed!);
  await listener.close(1);
});

it.each<[string, { keyPem: string; pem: string }]>([
  ['a key of another certificate', { keyPem: makeCertificate().keyPem, pem: makeCertificate().pem }],
  ['garbage', { keyPem: 'garbage', pem: 'garbage' }],
])('does not start with %s', async (_name, given) => {
  await write(given);
  expect(() => createListener(() => {}, files())).toThrow(/do not go together/);
});

it('names the file that it cannot read', () => {
  const keyFile = path.join(directory, 'missing');
  expect(() => createListener(() => {}, { ...files(), keyFile })).toThrow(keyFile);
});
