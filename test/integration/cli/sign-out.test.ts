import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';

import { createTestCli, type TestCli } from '../../support/cli.ts';

// Several processes to a test, on machines that may be busy.
jest.setTimeout(120_000);

let cli: TestCli;
beforeAll(async () => {
  cli = await createTestCli();
  await cli.run(['users', 'create', '--email', 'ada@example.org', '--sub', 'ada-of-old']);
});
afterAll(() => cli.stop());

it('a client is told of sign-outs as the options say, and an update changes what it names and no more', async () => {
  const created = await cli.run([
    'clients',
    'create',
    '--json',
    '--name=Wiki',
    '--client-id=wiki',
    '--redirect-uri=https://wiki.example/cb',
    '--backchannel-logout-uri=https://wiki.example/bye',
    '--no-backchannel-logout-session',
    '--frontchannel-logout-uri=https://wiki.example/frame',
    '--sign-out-ends-offline',
  ]);
  expect([created.code, created.stderr]).toEqual([0, '']);
  const shown = async () => (await cli.run(['clients', 'show', 'wiki', '--json'])).json();
  const told = {
    backchannel_logout_uri: 'https://wiki.example/bye',
    backchannel_logout_session_required: false,
    frontchannel_logout_uri: 'https://wiki.example/frame',
    frontchannel_logout_session_required: true,
    sign_out_ends_offline: true,
  };
  expect(await shown()).toMatchObject(told);

  expect((await cli.run(['clients', 'update', 'wiki', '--name', 'The wiki'])).code).toBe(0);
  expect(await shown()).toMatchObject({ ...told, name: 'The wiki' });
  await cli.run(['clients', 'update', 'wiki', '--no-sign-out-ends-offline', '--backchannel-logout-session']);
  expect(await shown()).toMatchObject({
    ...told,
    sign_out_ends_offline: false,
    backchannel_logout_session_required: true,
  });
  const cleared = ['backchannel-logout-uri', 'frontchannel-logout-uri', 'sign-out-ends-offline'];
  const clearing = await cli.run(['clients', 'update', 'wiki', '--clear', ...cleared]);
  expect([clearing.code, clearing.stderr]).toEqual([0, '']);
  expect(await shown()).toMatchObject({
    backchannel_logout_uri: null,
    frontchannel_logout_uri: null,
    sign_out_ends_offline: null,
  });
});

it('refuses a page of another origin', async () => {
  const { code, error } = await cli.run([
    'clients',
    'create',
    '--json',
    '--name=Wiki',
    '--redirect-uri=https://wiki.example/cb',
    '--frontchannel-logout-uri=https://other.example/frame',
  ]);
  expect([code, error().error]).toEqual([1, 'invalid_client']);
});

it('signs an account out, also where it is signed in nowhere that is known of', async () => {
  const { code, json } = await cli.run(['users', 'sign-out', 'ada@example.org', '--json']);
  expect([code, json()]).toEqual([0, { sessions: 0, applications: 0, offline_grants: 0 }]);
  await cli.run(['users', 'sign-out', 'ada@example.org', '--offline']);
  const { rows } = await cli.database.db.query(
    `select kind, subject, before is not null as is_bounded from revocations order by id`,
  );
  expect(rows).toEqual([
    { kind: 'account_sessions', subject: 'ada-of-old', is_bounded: true },
    { kind: 'account', subject: 'ada-of-old', is_bounded: true },
  ]);
  const events = (await cli.run(['audit', 'list', '--type', 'account.signed_out', '--json'])).lines();
  expect(events).toHaveLength(2);
  expect(events[0]).toMatchObject({ actor: { kind: 'operator' } });
});

it.each([
  [['--session', 'x', '--client', 'y'], 2, 'misused'],
  [['--session', 'nothing'], 1, 'session_not_found'],
] as const)('sign-out %j is refused', async (options, code, error) => {
  const outcome = await cli.run(['users', 'sign-out', 'ada@example.org', ...options, '--json']);
  expect([outcome.code, outcome.error().error]).toEqual([code, error]);
});
