import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { decodeJwt, decodeProtectedHeader } from 'jose';

import { signedIn } from '../../support/application.ts';
import { runCli } from '../../support/cli.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { startSecondProcess, type SecondProcess } from '../../support/second-process.ts';

let server: TestServer;
let second: SecondProcess;
beforeAll(async () => {
  server = await startGatehouse();
  second = await startSecondProcess(server);
}, 60_000);
afterAll(async () => {
  await second?.stop();
  await server?.stop();
});

async function publishedAt(issuer: string): Promise<string[]> {
  const response = await fetch(`${issuer}/oauth/jwks`);
  const { keys } = (await response.json()) as { keys: { kid: string }[] };
  return keys.map(({ kid }) => kid);
}

it('an operator takes a key out of every process at once, and is told which tokens end', async () => {
  const signed = await Promise.all([1, 2, 3].map(() => signedIn(server, { idTokenAlg: 'ES256' }, 'openid')));
  await signedIn(server, { idTokenAlg: 'EdDSA' }, 'openid');
  const idTokens = signed.map(({ tokens }) => tokens.id_token ?? '');
  const { kid = '' } = decodeProtectedHeader(idTokens[0] ?? '');
  const lastExpiry = Math.max(...idTokens.map((token) => decodeJwt(token).exp ?? 0));
  const expected = { kind: 'id_token', count: 3, latest_expiry: new Date(lastExpiry * 1000).toISOString() };

  const { code, json, stderr } = await runCli(['keys', 'retire', kid, '--now', '--json'], {
    env: server.env,
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(json()).toMatchObject({ kid, state: 'removed', ended: [expected] });

  await new Promise((resolve) => setTimeout(resolve, 1_100));
  for (const issuer of [server.issuer, second.issuer]) expect(await publishedAt(issuer)).not.toContain(kid);
  const { tokens } = await signedIn(server, { idTokenAlg: 'ES256' }, 'openid');
  const fresh = decodeProtectedHeader(tokens.id_token ?? '').kid;
  expect(await publishedAt(second.issuer)).toContain(fresh);

  const { rows } = await server.database.db.query(
    `select type, payload from audit_events where type in ('key.removed', 'key.tokens_ended') order by at, id`,
  );
  expect(rows).toEqual([
    { type: 'key.removed', payload: { kid, alg: 'ES256' } },
    { type: 'key.tokens_ended', payload: { kid, alg: 'ES256', ended: [expected] } },
  ]);

  // A token of that key is no hint any more: nobody knows who really made it.
  const hint = await fetch(
    `${server.issuer}/oauth/logout?id_token_hint=${encodeURIComponent(idTokens[0] ?? '')}`,
  );
  expect(hint.status).toBe(400);

  const again = await runCli(['keys', 'retire', fresh ?? '', '--now'], { env: server.env });
  expect(again.stdout).toMatch(/These tokens end with it: 1 id token, the last good until /);
}, 60_000);
