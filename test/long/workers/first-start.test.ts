/** The first start of all, and twice at the same moment: two servers of two workers each, on an empty database. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { createDatabase, type Database } from '../../../src/platform/database.ts';
import { createDeployment, type Deployment } from '../../support/deployment.ts';
import { runGatehouse } from '../../support/gatehouse-process.ts';
import { freePort } from '../../support/ports.ts';

let deployment: Deployment;
let db: Database;
let url: URL;
beforeAll(async () => {
  deployment = await createDeployment({ store: 'postgres' });
  db = createDatabase({ connection: { connectionString: deployment.postgres.url }, maxConnections: 1 });
  await db.query('create database first_start');
  url = new URL(deployment.postgres.url);
  url.pathname = '/first_start';
}, 60_000);
afterAll(async () => {
  await db.close();
  await deployment.stop();
});

it('makes one administrator, one set of keys and one chain', async () => {
  const env = { GATEHOUSE_DATABASE_URL: url.href, GATEHOUSE_WORKERS: '2' };
  const ports = [await freePort(), await freePort()];
  const servers = await Promise.all(
    ports.map((port) => deployment.startServer({ ...env, PORT: String(port) })),
  );
  const printed = servers.flatMap((server) => server.output().match(/^First administrator: .+$/gm) ?? []);
  expect(printed).toHaveLength(1);

  const kids = new Set<string>();
  // Each on a connection of its own, so that every worker is asked.
  for (let round = 0; round < 8; round += 1) {
    for (const port of ports) {
      const answer = await fetch(`http://127.0.0.1:${port}/oauth/jwks`, { headers: { connection: 'close' } });
      const { keys } = (await answer.json()) as { keys: { kid: string }[] };
      kids.add(
        keys
          .map(({ kid }) => kid)
          .toSorted()
          .join(' '),
      );
    }
  }
  expect(kids.size).toBe(1);

  expect(await Promise.all(servers.map((server) => server.stop()))).toEqual([0, 0]);
  const own = { ...deployment.env, ...env };
  const { code, stdout } = await runGatehouse(['audit', 'list', '--type', 'account.created', '--json'], own);
  expect([code, stdout.trim().split('\n').length]).toEqual([0, 1]);
  expect((await runGatehouse(['audit', 'verify'], own)).code).toBe(0);
}, 240_000);
