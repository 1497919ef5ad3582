import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { createTestCli, type TestCli } from '../../support/cli.ts';

const LEDGER = 'https://ledger.example';
// Several processes to a test, on machines that may be busy.
jest.setTimeout(120_000);

let cli: TestCli;
let clientId: string;
beforeAll(async () => {
  cli = await createTestCli();
  ({ client_id: clientId } = (await cli.run(['clients', 'create', '--name', 'Backup', '--json'])).json<{
    client_id: string;
  }>());
  await cli.run(['roles', 'create', 'clerk']);
  const permissions = ['read=See your invoices', 'write=Change your invoices'];
  const { code, stderr } = await cli.run(
    ['apis', 'create', '--identifier', LEDGER, '--name', 'Ledger', '--permission'].concat(permissions),
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
});
afterAll(() => cli.stop());

it('shows an API in the exact form that scripts use', async () => {
  expect((await cli.run(['apis', 'show', LEDGER, '--json'])).json()).toEqual({
    identifier: LEDGER,
    name: 'Ledger',
    access_token_format: 'jwt',
    access_token_ttl_seconds: null,
    refresh_token_idle_seconds: null,
    refresh_token_absolute_seconds: null,
    signing_alg: 'RS256',
    offline_access: false,
    client_id: null,
    permissions: [
      { name: 'read', description: 'See your invoices' },
      { name: 'write', description: 'Change your invoices' },
    ],
    created_at: expect.any(String),
    updated_at: expect.any(String),
    roles: [],
    clients: [],
  });
});

it('changes what is given, and takes it back', async () => {
  const update = (...options: string[]) => cli.run(['apis', 'update', LEDGER, ...options, '--json']);
  const given = ['--format', 'opaque', '--ttl', '5m', '--client', clientId, '--offline-access'];
  const lifetimes = ['--refresh-idle', '8h', '--refresh-absolute', '30d'];
  expect((await update(...given, ...lifetimes)).json()).toMatchObject({
    access_token_format: 'opaque',
    access_token_ttl_seconds: 300,
    refresh_token_idle_seconds: 28_800,
    refresh_token_absolute_seconds: 2_592_000,
    client_id: clientId,
    offline_access: true,
  });
  const back = ['--format', 'jwt', '--alg', 'EdDSA', '--no-offline-access', '--clear', 'ttl', 'client'];
  expect((await update(...back, 'refresh-idle', 'refresh-absolute')).json()).toMatchObject({
    access_token_format: 'jwt',
    access_token_ttl_seconds: null,
    refresh_token_idle_seconds: null,
    refresh_token_absolute_seconds: null,
    signing_alg: 'EdDSA',
    client_id: null,
    offline_access: false,
  });
  expect((await cli.run(['apis', 'list'])).stdout).toMatch(
    /^https:\/\/ledger\.example +Ledger +JWT, EdDSA +read write$/m,
  );
});

it('permits roles and clients, says what that changed, and shows it', async () => {
  const permitted = await cli.run(['roles', 'permit', 'clerk', LEDGER, 'read', 'write', '--json']);
  expect(permitted.json()).toEqual({ role: 'clerk', api: LEDGER, changed: ['read', 'write'] });
  expect((await cli.run(['roles', 'permit', 'clerk', LEDGER, 'read'])).stdout).toBe('That was so already.\n');
  expect((await cli.run(['roles', 'forbid', 'clerk', LEDGER, 'write'])).stdout).toBe(
    'clerk no longer permits: write.\n',
  );
  expect((await cli.run(['clients', 'permit', clientId, LEDGER, 'write', '--json'])).json()).toEqual({
    client: clientId,
    api: LEDGER,
    changed: ['write'],
  });
  expect((await cli.run(['roles', 'show', 'clerk', '--json'])).json()).toMatchObject({
    name: 'clerk',
    permissions: [{ api: LEDGER, permissions: ['read'] }],
  });
  expect((await cli.run(['apis', 'show', LEDGER, '--json'])).json()).toMatchObject({
    roles: [{ role: 'clerk', permissions: ['read'] }],
    clients: [{ client_id: clientId, permissions: ['write'] }],
  });
  expect((await cli.run(['clients', 'forbid', clientId, LEDGER, 'write', '--json'])).json()).toMatchObject({
    changed: ['write'],
  });
});

it('adds, describes anew and removes a permission, wherever it was given', async () => {
  const add = (description: string) =>
    cli.run(['apis', 'permissions', 'add', LEDGER, 'audit', '--description', description, '--json']);
  expect((await add('See who did what')).code).toBe(0);
  expect((await add('See what was done')).json()).toMatchObject({
    permissions: expect.arrayContaining([{ name: 'audit', description: 'See what was done' }]),
  });
  await cli.run(['roles', 'permit', 'clerk', LEDGER, 'audit']);
  const removed = await cli.run(['apis', 'permissions', 'remove', LEDGER, 'audit', '--json']);
  expect(JSON.stringify(removed.json())).not.toContain('audit');
});

it('records every change', async () => {
  const { database } = cli;
  const { rows } = await database.db.query<{ type: string }>(
    `select distinct type from audit_events where payload->>'api' is not null order by type`,
  );
  expect(rows.map(({ type }) => type)).toEqual([
    'api.created',
    'api.permission_added',
    'api.permission_described',
    'api.permission_removed',
    'api.updated',
    'client.forbidden',
    'client.permitted',
    'role.forbidden',
    'role.permitted',
  ]);
});

describe('refuses', () => {
  it.each([
    [['apis', 'create', '--identifier', LEDGER, '--name', 'Again'], 'api_exists'],
    [['apis', 'create', '--identifier', '/ledger', '--name', 'Relative'], 'invalid_api'],
    [['apis', 'create', '--identifier', `${LEDGER}#x`, '--name', 'Fragment'], 'invalid_api'],
    [['apis', 'update', LEDGER, '--ttl', '1s'], 'invalid_api'],
    [['apis', 'update', LEDGER, '--client', 'nobody'], 'client_not_found'],
    [['apis', 'update', 'https://other.example', '--name', 'X'], 'api_not_found'],
    [['apis', 'permissions', 'add', LEDGER, 'openid', '--description', 'x'], 'invalid_permission'],
    [['apis', 'permissions', 'remove', LEDGER, 'nonsense'], 'permission_not_found'],
    [['roles', 'permit', 'nonsense', LEDGER, 'read'], 'role_not_found'],
    [['roles', 'permit', 'clerk', LEDGER, 'nonsense'], 'permission_not_found'],
    [['roles', 'permit', 'clerk', 'https://other.example', 'read'], 'api_not_found'],
    [['clients', 'permit', 'nonsense', LEDGER, 'read'], 'client_not_found'],
    [['roles', 'show', 'nonsense'], 'role_not_found'],
  ])('%j with %s', async (args, error) => {
    const outcome = await cli.run([...args, '--json']);
    expect([outcome.code, outcome.stdout, outcome.error().error]).toEqual([1, '', error]);
  });

  it.each([
    [['apis', 'create', '--name', 'Ledger']],
    [['apis', 'create', '--identifier', 'https://a.example', '--name', 'A', '--permission', 'read']],
    [['apis', 'update', LEDGER]],
    [['apis', 'update', LEDGER, '--clear', 'name']],
    [['apis', 'permissions', 'add', LEDGER, 'x']],
  ])('the misuse %j', async (args) => {
    const outcome = await cli.run([...args, '--json']);
    expect([outcome.code, outcome.stdout, outcome.error().error]).toEqual([2, '', 'misused']);
  });
});

it('deletes it last', async () => {
  expect((await cli.run(['apis', 'delete', LEDGER, '--json'])).json()).toEqual({
    identifier: LEDGER,
    deleted: true,
  });
  expect((await cli.run(['apis', 'show', LEDGER, '--json'])).error().error).toBe('api_not_found');
});
