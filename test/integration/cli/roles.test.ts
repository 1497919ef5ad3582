import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';

import { createTestCli, type TestCli } from '../../support/cli.ts';

// Several processes to a test, on machines that may be busy.
jest.setTimeout(120_000);

let cli: TestCli;
beforeAll(async () => {
  cli = await createTestCli();
  await cli.run(['users', 'create', '--email', 'ada@example.org']);
});
afterAll(() => cli.stop());

it('makes a role in the exact form that scripts use', async () => {
  const { code, json, stderr } = await cli.run(['roles', 'create', 'editor', '--json']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(json()).toMatchObject({ id: expect.any(String), name: 'editor', requires_mfa: false });
});

it('grants and revokes it, and says whether that changed anything', async () => {
  await cli.run(['roles', 'create', 'auditor', '--require-mfa', '--description', 'Reads the log']);
  const granted = await cli.run(['roles', 'grant', 'auditor', 'ada@example.org', '--json']);
  expect(granted.json()).toEqual({ id: expect.any(String), role: 'auditor', changed: true });
  expect((await cli.run(['roles', 'grant', 'auditor', 'ada@example.org'])).stdout).toBe(
    'ada@example.org had the role auditor already.\n',
  );
  const { stdout } = await cli.run(['roles', 'list']);
  expect(stdout).toMatch(/^auditor +1 account +required +Reads the log$/m);
  const inUse = await cli.run(['roles', 'delete', 'auditor', '--json']);
  expect([inUse.code, inUse.error().error]).toEqual([1, 'role_in_use']);
  const revoked = await cli.run(['roles', 'revoke', 'auditor', 'ada@example.org', '--json']);
  expect(revoked.json()).toMatchObject({ changed: true });
  expect((await cli.run(['roles', 'delete', 'auditor', '--json'])).json()).toEqual({
    role: 'auditor',
    deleted: true,
  });
  const names = (await cli.run(['roles', 'list', '--json'])).lines().map(({ name }) => name);
  expect(names).not.toContain('auditor');
});

it.each([
  [['create', 'editor'], 'role_taken'],
  [['create', 'Editor'], 'role_name_invalid'],
  [['delete', 'admin'], 'role_built_in'],
  [['delete', 'nonsense'], 'role_not_found'],
  [['grant', 'nonsense', 'ada@example.org'], 'role_not_found'],
  [['grant', 'editor', 'nobody@example.org'], 'account_not_found'],
])('refuses roles %j with %s', async (args, error) => {
  const outcome = await cli.run(['roles', ...args, '--json']);
  expect([outcome.code, outcome.stdout, outcome.error().error]).toEqual([1, '', error]);
});
