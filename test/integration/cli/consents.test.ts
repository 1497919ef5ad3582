import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';

import { createTestCli, type TestCli } from '../../support/cli.ts';

// Several processes to a test, on machines that may be busy.
jest.setTimeout(120_000);

const EMAIL = 'ada@example.org';

let cli: TestCli;
beforeAll(async () => {
  cli = await createTestCli();
  const made = await cli.run(['users', 'create', '--email', EMAIL, '--sub', 'ada-of-old', '--json']);
  const { id } = made.json<{ id: string }>();
  for (const client of ['wiki', 'shop']) {
    const redirect = `--redirect-uri=https://${client}.example/cb`;
    await cli.run(['clients', 'create', '--name', client, '--client-id', client, redirect]);
  }
  await cli.run([
    'apis',
    'create',
    '--identifier=https://ledger.example',
    '--name=Ledger',
    '--permission',
    'read=See your invoices',
  ]);
  const { db } = cli.database;
  await db.query(`insert into consents values ($1, 'wiki', '{openid,profile}', now())`, [id]);
  await db.query(
    `insert into consent_permissions values ($1, 'wiki', 'https://ledger.example', 'read', now())`,
    [id],
  );
});
afterAll(() => cli.stop());

it('lists what a person let applications do, and takes it back, for good and on record', async () => {
  const listed = await cli.run(['users', 'consents', EMAIL, '--json']);
  expect(listed.lines()).toEqual([
    {
      client_id: 'wiki',
      scopes: ['openid', 'profile'],
      permissions: { 'https://ledger.example': ['read'] },
      granted_at: expect.any(String),
    },
  ]);
  expect((await cli.run(['users', 'consents', EMAIL])).stdout).toContain('https://ledger.example: read');

  const withdrawn = await cli.run(['users', 'withdraw-consent', EMAIL, 'wiki', '--json']);
  expect([withdrawn.code, withdrawn.json()]).toEqual([0, { client_id: 'wiki', withdrawn: true }]);
  expect((await cli.run(['users', 'consents', EMAIL])).stdout).toContain('Nothing is remembered');
  const { rows } = await cli.database.db.query(
    'select kind, subject, before is not null as is_bounded from revocations',
  );
  expect(rows).toEqual([{ kind: 'consent', subject: 'ada-of-old wiki', is_bounded: true }]);
  const events = (await cli.run(['audit', 'list', '--type', 'consent.revoked', '--json'])).lines();
  expect(events).toMatchObject([{ actor: { kind: 'operator' }, client_id: 'wiki' }]);
});

it.each([
  ['shop', 'consent_not_found'],
  ['nobody', 'consent_not_found'],
])('refuses to take back from %s what it never had', async (client, error) => {
  const outcome = await cli.run(['users', 'withdraw-consent', EMAIL, client, '--json']);
  expect([outcome.code, outcome.stdout, outcome.error().error]).toEqual([1, '', error]);
});

it('says how it is called', async () => {
  const { code, error } = await cli.run(['users', 'withdraw-consent', EMAIL, '--json']);
  expect([code, error().error]).toEqual([2, 'misused']);
});
