import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import {
  createFirstAdministrator,
  generatePassword,
  hasPrintedPassword,
} from '../../../src/accounts/first-administrator.ts';
import { createInlineHasher } from '../../../src/accounts/hashing/inline.ts';
import { createAccountService } from '../../../src/accounts/service.ts';
import { ADMINISTRATOR_ROLE } from '../../../src/rbac/role.ts';
import { createRbacService, grantRoleInTransaction } from '../../../src/rbac/service.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { buildAccount, CHEAP_PARAMETERS, TEST_OPERATOR } from '../../support/factories/account.ts';

const settings = { parameters: CHEAP_PARAMETERS, minLength: 12 };

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(() => database.drop());

const start = (password?: string): ReturnType<typeof createFirstAdministrator> =>
  createFirstAdministrator({
    db: database.db,
    hasher: createInlineHasher(),
    settings,
    email: 'admin@localhost.example',
    password,
    grantAdministrator: (tx, accountId, by) =>
      grantRoleInTransaction(tx, { accountId, role: ADMINISTRATOR_ROLE, by, now: new Date() }),
  });

describe('the first administrator', () => {
  it('is made once, with the role and a password that is told once', async () => {
    const first = await start();
    expect(first).toEqual({
      account: expect.objectContaining({ email: 'admin@localhost.example', hasPassword: true }),
      password: expect.stringMatching(/^([a-hj-km-np-z2-9]{5}-){4}[a-hj-km-np-z2-9]{5}$/),
    });
    const roles = await createRbacService({ db: database.db }).rolesOf(first!.account.id);
    expect(roles).toEqual([expect.objectContaining({ name: 'admin', requiresMfa: true })]);
    expect(await start()).toBeUndefined();
    const { rows } = await database.db.query(
      'select type, actor_kind from audit_events where account_id = $1 order by at, id',
      [first!.account.id],
    );
    expect(rows).toEqual(
      expect.arrayContaining([
        { type: 'account.created', actor_kind: 'system' },
        { type: 'account.role_granted', actor_kind: 'system' },
      ]),
    );
  });

  it('is one, when several processes start at once', async () => {
    const results = await Promise.all(Array.from({ length: 5 }, () => start()));
    expect(results.filter((result) => result !== undefined)).toHaveLength(1);
  });

  it('is not made where there is an account', async () => {
    await buildAccount({ db: database.db });
    expect(await start()).toBeUndefined();
    expect(await hasPrintedPassword(database.db)).toBe(false);
  });

  it('has a printed password until it is changed, or nobody can use it', async () => {
    const { account } = (await start())!;
    const accounts = createAccountService({
      db: database.db,
      hasher: createInlineHasher(),
      password: settings,
      longestTokenSeconds: 60,
    });
    expect(await hasPrintedPassword(database.db)).toBe(true);
    await accounts.disable(account.id, TEST_OPERATOR);
    expect(await hasPrintedPassword(database.db)).toBe(false);
    await accounts.enable(account.id, TEST_OPERATOR);
    expect(await hasPrintedPassword(database.db)).toBe(true);
    await accounts.setPassword(account.id, 'nine quiet herons', TEST_OPERATOR);
    expect(await hasPrintedPassword(database.db)).toBe(false);
  });

  it('may bring a password of the operator’s own, which nobody printed', async () => {
    const first = await start('nine quiet herons');
    expect(first).toEqual({ account: expect.anything() });
    expect(await hasPrintedPassword(database.db)).toBe(false);
  });

  it('has another password each time', () => {
    const passwords = new Set(Array.from({ length: 100 }, generatePassword));
    expect(passwords.size).toBe(100);
  });
});
