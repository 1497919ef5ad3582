/** The program of docs/guides/logout-notices.md, run as it stands there. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { OPERATOR, signedIn } from '../../support/application.ts';
import { eventually } from '../../support/eventually.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { freePort } from '../../support/ports.ts';

const ROOT = path.join(import.meta.dirname, '..', '..', '..');
let server: TestServer;
let folder: string;
let program: string;
let running: ChildProcess | undefined;

beforeAll(async () => {
  server = await startGatehouse({ env: { GATEHOUSE_OUTGOING_ALLOWED_HOSTS: '127.0.0.1' } });
  const guide = await readFile(path.join(ROOT, 'docs/guides/logout-notices.md'), 'utf8');
  program = /```js\n([\s\S]*?)```/.exec(guide)?.[1] ?? '';
  folder = await mkdtemp(path.join(os.tmpdir(), 'gh-guide-'));
  await symlink(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
});
afterAll(async () => {
  running?.kill();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

it('ends the session of a person who signed out, and believes nobody else', async () => {
  const port = await freePort();
  const address = `http://127.0.0.1:${port}/backchannel-logout`;
  const { application, credentials, tokens } = await signedIn(server, { backchannelLogoutUri: address });
  const { sid } = JSON.parse(
    Buffer.from((tokens.id_token ?? '').split('.')[1] ?? '', 'base64url').toString(),
  ) as { sid: string };
  const file = path.join(folder, 'receiver.mjs');
  await writeFile(
    file,
    program.replace("'somebody'", `'${credentials.account.sub}'`).replace("'their-session'", `'${sid}'`),
  );
  running = spawn(process.execPath, [file], {
    env: { ISSUER: server.issuer, CLIENT_ID: application.clientId, PORT: String(port) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  running.stdout?.setEncoding('utf8').on('data', (text: string) => (printed += text));
  await eventually(async () => expect(printed).toContain('listening'));

  // An ID token is signed by the same key for the same client.
  for (const forged of [tokens.id_token ?? '', 'nothing', '']) {
    const body = new URLSearchParams({ logout_token: forged });
    expect((await fetch(address, { method: 'POST', body })).status).toBe(400);
  }
  await server.subjects.signOut.everywhere(credentials.account, OPERATOR);
  await eventually(async () => expect(printed).toContain('ended 1'));
}, 60_000);
