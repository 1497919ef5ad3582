import type { Queryable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import { ADMINISTRATOR_ROLE } from './role.ts';
import { isOnlyEnabledHolder, lockRole } from './store.ts';

/**
 * Keeps Gatehouse from being left without anybody who may administer it. Runs in the transaction of the change that would
 * take an administrator away (the role revoked, the account disabled), and makes such changes take turns: two
 * administrators cannot remove each other at the same moment.
 *
 * @throws AppError 409 `last_administrator`
 */
export async function refuseLastAdministrator(tx: Queryable, accountId: string): Promise<void> {
  const role = await lockRole(tx, ADMINISTRATOR_ROLE);
  if (role && (await isOnlyEnabledHolder(tx, { accountId, roleId: role.id }))) {
    throw new AppError(
      'last_administrator',
      409,
      'This is the last administrator who can sign in. Make another one first, or insist.',
    );
  }
}
