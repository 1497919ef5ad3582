import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { createInlineHasher } from '../../../src/accounts/hashing/inline.ts';
import { createAccountService } from '../../../src/accounts/service.ts';
import { refuseLastAdministrator } from '../../../src/rbac/last-administrator.ts';
import { ADMINISTRATOR_ROLE, type RbacService } from '../../../src/rbac/role.ts';
import { createRbacService } from '../../../src/rbac/service.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { buildAccount, CHEAP_PARAMETERS, TEST_OPERATOR } from '../../support/factories/account.ts';
import { buildRole } from '../../support/factories/role.ts';

let database: TestDatabase;
let rbac: RbacService;
beforeAll(async () => {
  database = await createTestDatabase();
  rbac = createRbacService({ db: database.db });
});
afterAll(() => database.drop());

/** "type by whom of whose", sorted: what happened in one millisecond has no order. */
async function eventsOf(role: string): Promise<string[]> {
  const { rows } = await database.db.query<{ line: string }>(
    `select concat_ws(' ', type, 'by', actor_id, 'of ' || account_id) as line
       from audit_events where payload->>'role' = $1`,
    [role],
  );
  return rows.map(({ line }) => line).sort();
}

const NOBODY = '0190a1b2-0000-7000-8000-000000000000';

describe('roles', () => {
  it('are made, listed with how many have them, and recorded', async () => {
    const accounts = [await buildAccount({ db: database.db }), await buildAccount({ db: database.db })];
    const role = await buildRole({ db: database.db, accounts, description: 'Edits', requiresMfa: true });
    expect(await rbac.getRole(role.name)).toEqual(role);
    expect(await rbac.listRoles()).toContainEqual({ ...role, accounts: 2 });
    expect(await eventsOf(role.name)).toEqual([
      ...accounts.map(({ id }) => `account.role_granted by tester of ${id}`).sort(),
      'role.created by tester',
    ]);
  });

  it('include the administrators’ own from the start, which asks for a second factor', async () => {
    expect(await rbac.getRole(ADMINISTRATOR_ROLE)).toMatchObject({ name: 'admin', requiresMfa: true });
  });

  it.each(['team/dev', 'a', '0', 'app:read.write_x-y', 'x'.repeat(64)])('may be called %j', async (name) => {
    expect((await rbac.createRole({ name }, TEST_OPERATOR)).name).toBe(name);
  });

  it.each(['', 'Admin', 'ädmin', 'a b', 'a,b', 'x'.repeat(65), 'a\n', 'a*'])(
    'may not be called %j',
    async (name) => {
      await expect(rbac.createRole({ name }, TEST_OPERATOR)).rejects.toMatchObject({
        code: 'role_name_invalid',
        status: 422,
      });
    },
  );

  it('have a name each', async () => {
    const role = await buildRole({ db: database.db });
    await expect(rbac.createRole({ name: role.name }, TEST_OPERATOR)).rejects.toMatchObject({
      code: 'role_taken',
      status: 409,
    });
  });

  it('are given and taken once, and only real changes are recorded', async () => {
    const { id } = await buildAccount({ db: database.db });
    const role = await buildRole({ db: database.db });
    expect(await rbac.grantRole(id, role.name, TEST_OPERATOR)).toBe(true);
    expect(await rbac.grantRole(id, role.name, TEST_OPERATOR)).toBe(false);
    expect(await rbac.rolesOf(id)).toEqual([role]);
    expect(await rbac.revokeRole(id, role.name, TEST_OPERATOR)).toBe(true);
    expect(await rbac.revokeRole(id, role.name, TEST_OPERATOR)).toBe(false);
    expect(await rbac.rolesOf(id)).toEqual([]);
    expect(await eventsOf(role.name)).toEqual([
      `account.role_granted by tester of ${id}`,
      `account.role_revoked by tester of ${id}`,
      'role.created by tester',
    ]);
  });

  it.each([
    [
      'role_not_found',
      async () => ({ id: (await buildAccount({ db: database.db })).id, name: 'no-such-role' }),
    ],
    ['account_not_found', async () => ({ id: NOBODY, name: (await buildRole({ db: database.db })).name })],
    ['account_not_found', async () => ({ id: 'junk', name: (await buildRole({ db: database.db })).name })],
  ])('are neither given nor taken with %s', async (code, prepare) => {
    const { id, name } = await prepare();
    await expect(rbac.grantRole(id, name, TEST_OPERATOR)).rejects.toMatchObject({ code, status: 404 });
    await expect(rbac.revokeRole(id, name, TEST_OPERATOR)).rejects.toMatchObject({ code, status: 404 });
  });

  it('in use are deleted only when the operator insists, and everybody loses them on record', async () => {
    const account = await buildAccount({ db: database.db });
    const role = await buildRole({ db: database.db, accounts: [account] });
    await expect(rbac.deleteRole(role.name, TEST_OPERATOR)).rejects.toMatchObject({
      code: 'role_in_use',
      status: 409,
    });
    expect(await rbac.rolesOf(account.id)).toEqual([role]);
    await rbac.deleteRole(role.name, TEST_OPERATOR, { force: true });
    expect(await rbac.rolesOf(account.id)).toEqual([]);
    await expect(rbac.getRole(role.name)).rejects.toMatchObject({ code: 'role_not_found' });
    expect(await eventsOf(role.name)).toEqual([
      `account.role_granted by tester of ${account.id}`,
      `account.role_revoked by tester of ${account.id}`,
      'role.created by tester',
      'role.deleted by tester',
    ]);
  });

  it('that nobody has are deleted without further ado; unknown and built-in ones never', async () => {
    const role = await buildRole({ db: database.db });
    await rbac.deleteRole(role.name, TEST_OPERATOR);
    await expect(rbac.deleteRole(role.name, TEST_OPERATOR)).rejects.toMatchObject({ code: 'role_not_found' });
    await expect(rbac.deleteRole(ADMINISTRATOR_ROLE, TEST_OPERATOR, { force: true })).rejects.toMatchObject({
      code: 'role_built_in',
    });
  });
});

describe('the last administrator', () => {
  const accounts = (): ReturnType<typeof createAccountService> =>
    createAccountService({
      db: database.db,
      hasher: createInlineHasher(),
      password: { parameters: CHEAP_PARAMETERS, minLength: 12 },
      longestTokenSeconds: 60,
      beforeDisable: refuseLastAdministrator,
    });

  async function administrators(count: number): Promise<string[]> {
    await database.db.query('delete from account_roles');
    const ids = [];
    for (let i = 0; i < count; i += 1) {
      const { id } = await buildAccount({ db: database.db });
      await rbac.grantRole(id, ADMINISTRATOR_ROLE, TEST_OPERATOR);
      ids.push(id);
    }
    return ids;
  }

  it('loses neither the role nor the account, unless the operator insists', async () => {
    const [id] = await administrators(1);
    await expect(rbac.revokeRole(id!, ADMINISTRATOR_ROLE, TEST_OPERATOR)).rejects.toMatchObject({
      code: 'last_administrator',
      status: 409,
    });
    await expect(accounts().disable(id!, TEST_OPERATOR)).rejects.toMatchObject({
      code: 'last_administrator',
    });
    expect((await accounts().disable(id!, TEST_OPERATOR, { force: true })).disabledAt).toBeDefined();
    await accounts().enable(id!, TEST_OPERATOR);
    expect(await rbac.revokeRole(id!, ADMINISTRATOR_ROLE, TEST_OPERATOR, { force: true })).toBe(true);
  });

  it('is one who can sign in: a disabled one does not count', async () => {
    const [first, second] = await administrators(2);
    await accounts().disable(first!, TEST_OPERATOR);
    await expect(accounts().disable(second!, TEST_OPERATOR)).rejects.toMatchObject({
      code: 'last_administrator',
    });
    expect(await rbac.revokeRole(first!, ADMINISTRATOR_ROLE, TEST_OPERATOR)).toBe(true);
  });

  it('does not stand in the way of anybody else', async () => {
    await administrators(1);
    const { id } = await buildAccount({ db: database.db });
    expect((await accounts().disable(id, TEST_OPERATOR)).disabledAt).toBeDefined();
    expect(await rbac.revokeRole(id, ADMINISTRATOR_ROLE, TEST_OPERATOR)).toBe(false);
  });

  it('stays, when all administrators are removed at the same moment', async () => {
    for (let round = 0; round < 5; round += 1) {
      const ids = await administrators(4);
      const results = await Promise.allSettled(
        ids.map((id, i) =>
          i % 2 === 0
            ? rbac.revokeRole(id, ADMINISTRATOR_ROLE, TEST_OPERATOR)
            : accounts().disable(id, TEST_OPERATOR),
        ),
      );
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
      expect(results.find(({ status }) => status === 'rejected')).toMatchObject({
        reason: { code: 'last_administrator' },
      });
    }
  });
});
