import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { runCli, type CliOutcome } from '../../support/cli.ts';
import { withinASecond } from '../../support/eventually.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startGatehouse();
});
afterAll(() => server.stop());

const run = (...args: string[]): Promise<CliOutcome> => runCli([...args, '--json'], { env: server.env });

async function statusOfToken(clientId: string, secret: string): Promise<number> {
  const response = await fetch(`${server.issuer}/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${clientId}:${secret}`)}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  await response.body?.cancel();
  return response.status;
}

/** What a command has done, a running server knows within a second. */
const expectKnown = <T>(ask: () => Promise<T>, expected: T): Promise<void> =>
  withinASecond(async () => expect(await ask()).toBe(expected));

it('serves a client as soon as it is registered, and no more when it is gone', async () => {
  const created = (await run('clients', 'create', '--name', 'Machine')).json<Record<string, string>>();
  const { client_id: id = '', client_secret: first = '' } = created;
  await expectKnown(() => statusOfToken(id, first), 200);

  const rotated = (await run('clients', 'rotate-secret', id, '--grace', '0')).json<Record<string, string>>();
  await Promise.all([
    expectKnown(() => statusOfToken(id, first), 401),
    expectKnown(() => statusOfToken(id, rotated['client_secret'] ?? ''), 200),
  ]);

  await run('clients', 'delete', id);
  await expectKnown(() => statusOfToken(id, rotated['client_secret'] ?? ''), 401);
});

it('publishes the next key as soon as it is made', async () => {
  const kids = async (): Promise<string[]> => {
    const response = await fetch(`${server.issuer}/oauth/jwks`);
    const { keys } = (await response.json()) as { keys: { kid: string }[] };
    return keys.map(({ kid }) => kid);
  };
  const [next] = (await run('keys', 'rotate', '--alg', 'RS256')).lines<{ kid: string }>();
  await expectKnown(async () => (await kids()).includes(next!.kid), true);
});

it('finds what the server did in the audit log, which is whole', async () => {
  const events = (await run('audit', 'list', '--type', 'token.issued', 'server')).lines();
  expect(events.map(({ type }) => type)).toEqual(expect.arrayContaining(['server.started', 'token.issued']));
  const issued = events.find(({ type }) => type === 'token.issued');
  expect(issued).toMatchObject({ outcome: 'success', request_id: expect.any(String) });
  expect((await run('audit', 'verify')).json()).toMatchObject({ ok: true });
});
