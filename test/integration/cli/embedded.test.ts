import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';

import { runCli, startCli, type CliOptions } from '../../support/cli.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createFolder, isAlive, postgresPid, until } from '../../support/embedded-postgres/spawn.ts';
import { startGatehouseProcess } from '../../support/gatehouse-process.ts';
import { freePort } from '../../support/ports.ts';

let folder: Awaited<ReturnType<typeof createFolder>>;
let database: TestDatabase;
beforeAll(async () => {
  [folder, database] = await Promise.all([createFolder(), createTestDatabase()]);
});
afterAll(async () => {
  await database.drop();
  await folder.remove();
});

/** Nothing but a folder: the database in it is ours. */
const settings = (name = 'data'): Record<string, string> => ({
  GATEHOUSE_ENV: 'test',
  GATEHOUSE_DATA_DIR: path.join(folder.path, name),
});
const run = (args: readonly string[], options: CliOptions = {}) =>
  runCli(args, { ...options, env: { ...settings(), ...options.env } });
const pidFile = (): string =>
  path.join(folder.path, 'data', 'postgres', 'cluster', 'pgdata', 'postmaster.pid');

it('needs no server: a command makes the database, uses it and leaves it stopped', async () => {
  const made = await run(['roles', 'create', 'editor', '--json']);
  // Whatever was told on the way would stand here, where scripts look for the failure.
  expect({ code: made.code, stderr: made.stderr }).toEqual({ code: 0, stderr: '' });
  const user = await run(
    ['users', 'create', '--email', 'ada@example.org', '--password-stdin', '--role', 'editor', '--json'],
    { input: 'correct-battery-7\n' },
  );
  expect(user.json()).toEqual({ id: expect.any(String), sub: expect.any(String) });
  expect(existsSync(path.dirname(pidFile()))).toBe(true);
  expect(existsSync(pidFile())).toBe(false);
}, 60_000);

it('works beside a server that is starting, running and stopping', async () => {
  const starting = startGatehouseProcess({
    ...settings(),
    PORT: String(await freePort(3)),
    GATEHOUSE_LOG_LEVEL: 'info',
  });
  expect((await run(['roles', 'create', 'at-the-start', '--json'])).code).toBe(0);
  const server = await starting;
  try {
    const { lines } = await run(['audit', 'list', '--type', 'server', '--json']);
    expect(lines()).toContainEqual(expect.objectContaining({ type: 'server.started' }));
    const pid = await postgresPid(path.join(folder.path, 'data', 'postgres'));
    await run(['roles', 'create', 'beside', '--json']);
    // The server's database outlives the command.
    expect(isAlive(pid)).toBe(true);
  } finally {
    const stopping = server.stop();
    expect((await run(['roles', 'create', 'at-the-end', '--json'])).code).toBe(0);
    expect(await stopping).toBe(0);
  }
  const roles = (await run(['roles', 'list', '--json'])).lines().map(({ name }) => name);
  expect(roles).toEqual(expect.arrayContaining(['at-the-start', 'beside', 'at-the-end']));
  expect(existsSync(pidFile())).toBe(false);
}, 90_000);

it('leaves no database running when it is interrupted', async () => {
  const child = startCli(['data', 'import', '-'], { env: settings() });
  // It waits for a line that never comes.
  await until(async () => existsSync(pidFile()) && (await hasConnected()));
  child.kill('SIGINT');
  expect((await once(child, 'close'))[0]).toBe(130);
  expect(existsSync(pidFile())).toBe(false);

  async function hasConnected(): Promise<boolean> {
    const { code } = await run(['roles', 'list']);
    return code === 0;
  }
}, 60_000);

it('moves to another PostgreSQL and back, with the same secret key', async () => {
  const out = path.join(folder.path, 'out.jsonl');
  const back = path.join(folder.path, 'back.jsonl');
  const secret = { GATEHOUSE_SECRET_KEY_FILE: path.join(folder.path, 'data', 'secret.key') };
  const external = { ...secret, GATEHOUSE_DATABASE_URL: database.connectionString };
  expect((await run(['data', 'export', out])).code).toBe(0);
  expect((await run(['data', 'import', out, '--json'], { env: external })).json()).toMatchObject({
    chain_whole: true,
  });
  expect((await run(['users', 'show', 'ada@example.org', '--json'], { env: external })).json()).toMatchObject(
    {
      roles: ['editor'],
    },
  );
  expect((await run(['data', 'export', back], { env: external })).code).toBe(0);

  const elsewhere = settings('other');
  const refused = await run(['data', 'import', back, '--json'], { env: elsewhere });
  expect([refused.code, refused.error().error]).toEqual([1, 'other_secret_key']);
  const env = { ...elsewhere, ...secret };
  expect((await run(['data', 'import', back, '--json'], { env })).code).toBe(0);
  expect((await run(['audit', 'verify', '--json'], { env })).json()).toMatchObject({ ok: true, unlinked: 0 });
  // What the server did before it all is still there, chained as it was.
  expect((await run(['audit', 'list', '--type', 'server.started', '--json'], { env })).lines()).toHaveLength(
    1,
  );
}, 90_000);
