/** The signing service of docs/guides/external-signing.md, run as it stands there. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';

import {
  authorizationRequest,
  authorize,
  codeOf,
  OPERATOR,
  redeem,
  registerApplication,
  registerPerson,
  signedIn,
  type Tokens,
} from '../../support/application.ts';
import { runCli } from '../../support/cli.ts';
import { eventually } from '../../support/eventually.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { startLogoutReceiver, type LogoutReceiver } from '../../support/logout-receiver.ts';
import { createPerson } from '../../support/person.ts';
import { freePort } from '../../support/ports.ts';

const GUIDE = path.join(import.meta.dirname, '../../../docs/guides/external-signing.md');
const TOKEN = 'the-token-of-the-signing-service-0123456789';
let server: TestServer;
let receiver: LogoutReceiver;
let folder: string;
let file: string;
let port: number;
let service: ChildProcess;

const environment = () => ({ FOLDER: path.join(folder, 'keys'), TOKEN, PORT: String(port) });

async function startService(): Promise<void> {
  service = spawn(process.execPath, [file], { env: environment(), stdio: ['ignore', 'pipe', 'inherit'] });
  await once(service.stdout!, 'data');
}

async function stopService(): Promise<void> {
  const exited = once(service, 'exit');
  service.kill('SIGKILL');
  await exited;
}

const settings = (url: string): Record<string, string> => ({
  GATEHOUSE_KEYS_EXTERNAL_URL: url,
  GATEHOUSE_KEYS_EXTERNAL_TOKEN: TOKEN,
  GATEHOUSE_KEYS_EXTERNAL_ALGORITHMS: 'ES256',
  GATEHOUSE_OUTGOING_ALLOWED_HOSTS: '127.0.0.1',
  GATEHOUSE_OUTGOING_TIMEOUT_MS: '5000',
});

beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'gh-signing-'));
  file = path.join(folder, 'signing-service.mjs');
  const program = /```js\n([\s\S]*?)```/.exec(await readFile(GUIDE, 'utf8'))?.[1] ?? '';
  await writeFile(file, program);
  spawnSync('mkdir', ['-p', path.join(folder, 'keys')]);
  port = await freePort();
  await startService();
  receiver = await startLogoutReceiver();
  server = await startGatehouse({ env: settings(`http://127.0.0.1:${port}`) });
}, 60_000);
afterAll(async () => {
  service?.kill();
  await receiver?.close();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const verify = (token: string, audience: string) =>
  jwtVerify(token, createRemoteJWKSet(new URL(`${server.issuer}/oauth/jwks`)), {
    issuer: server.issuer,
    audience,
    algorithms: ['ES256'],
  });

it('signs ID tokens and logout tokens with a key that never was here', async () => {
  const { application, credentials, tokens } = await signedIn(
    server,
    { idTokenAlg: 'ES256', backchannelLogoutUri: `${receiver.origin}/backchannel` },
    'openid',
  );
  const { protectedHeader } = await verify(tokens.id_token ?? '', application.clientId);
  expect(protectedHeader.kid).toBe('1.pem');
  const { rows } = await server.database.db.query(
    `select is_external, private_jwk_sealed, public_jwk ? 'd' as has_private from signing_keys where kid = '1.pem'`,
  );
  expect(rows).toEqual([{ is_external: true, private_jwk_sealed: null, has_private: false }]);

  await server.subjects.signOut.everywhere(credentials.account, OPERATOR);
  await receiver.until(1);
  const notice = await verify(receiver.tokens[0] ?? '', application.clientId);
  expect(notice.protectedHeader).toMatchObject({ kid: '1.pem', typ: 'logout+jwt' });
  // The others are made here.
  const other = await signedIn(server, { idTokenAlg: 'EdDSA' }, 'openid');
  expect(decodeProtectedHeader(other.tokens.id_token ?? '').kid).not.toContain('.pem');
});

it('spends nothing while the service is away, so that the retry succeeds', async () => {
  const application = await registerApplication(server, { idTokenAlg: 'ES256' });
  const credentials = await registerPerson(server);
  const request = authorizationRequest(server, application, { scope: 'openid' });
  const code = codeOf(await authorize(createPerson(server.issuer), request, credentials));
  await stopService();
  const withheld = await redeem(server, application, { code, verifier: request.verifier });
  expect(withheld.status).toBe(503);
  expect(await withheld.json()).toMatchObject({ error: 'temporarily_unavailable' });

  await startService();
  const answer = await redeem(server, application, { code, verifier: request.verifier });
  expect(answer.status).toBe(200);
  const { id_token: idToken = '' } = (await answer.json()) as Tokens;
  await verify(idToken, application.clientId);
});

it('rotates to the next key of the service, and only where there is one', async () => {
  await expect(server.subjects.keys.rotate({ alg: 'ES256' }, OPERATOR)).rejects.toMatchObject({
    code: 'no_new_external_key',
  });
  expect(spawnSync(process.execPath, [file, 'new'], { env: environment() }).status).toBe(0);
  expect(await readdir(path.join(folder, 'keys'))).toEqual(['1.pem', '2.pem']);
  await server.subjects.keys.rotate({ alg: 'ES256', immediately: true }, OPERATOR);
  const { application, tokens } = await signedIn(server, { idTokenAlg: 'ES256' }, 'openid');
  const { protectedHeader } = await verify(tokens.id_token ?? '', application.clientId);
  expect(protectedHeader.kid).toBe('2.pem');
});

it('withdraws a key that leaked also while the service is away', async () => {
  await stopService();
  try {
    await expect(server.subjects.keys.withdraw('2.pem', OPERATOR)).rejects.toMatchObject({
      code: 'signing_unavailable',
    });
    const key = await server.subjects.keys.withdraw('1.pem', OPERATOR);
    expect(key).toMatchObject({ kid: '1.pem', state: 'removed' });
    // As the guide has it where the one that signs has leaked: a key of ours takes over.
    const { code, stdout } = await runCli(['keys', 'retire', '2.pem', '--now', '--json'], {
      env: { ...server.env, GATEHOUSE_KEYS_EXTERNAL_ALGORITHMS: '' },
    });
    expect([code, stdout]).toEqual([0, expect.stringContaining('"state":"removed"')]);
    await eventually(async () => {
      const { application, tokens } = await signedIn(server, { idTokenAlg: 'ES256' }, 'openid');
      const { protectedHeader } = await verify(tokens.id_token ?? '', application.clientId);
      expect(protectedHeader.kid).not.toContain('.pem');
    });
  } finally {
    await startService();
  }
});

it('lets no signature out that is not of the key', async () => {
  const real = `http://127.0.0.1:${port}`;
  const liar = createServer((request, response) => {
    if (request.url === '/sign') {
      return void response.end(JSON.stringify({ signature: Buffer.alloc(64, 1).toString('base64url') }));
    }
    return void fetch(`${real}${request.url}`, { headers: { authorization: `Bearer ${TOKEN}` } }).then(
      async (answer) => response.end(await answer.text()),
    );
  });
  await new Promise<void>((resolve) => {
    liar.listen(0, '127.0.0.1', resolve);
  });
  const other = await startGatehouse({
    env: settings(`http://127.0.0.1:${(liar.address() as AddressInfo).port}`),
  });
  try {
    await expect(signedIn(other, { idTokenAlg: 'ES256' }, 'openid')).rejects.toThrow(/answered 503/);
  } finally {
    await other.stop();
    liar.close();
  }
});

it('is asked nothing by a stranger', async () => {
  expect((await fetch(`http://127.0.0.1:${port}/keys`)).status).toBe(401);
});
