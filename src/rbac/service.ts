import { appendInTransaction } from '../audit/append.ts';
import type { Actor, AuditEvent } from '../audit/events.ts';
import { systemClock, type Clock } from '../platform/clock.ts';
import { uniqueViolation, type Database, type Queryable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import { uuidv7 } from '../platform/ids.ts';
import { roleNotFound } from './errors.ts';
import { refuseLastAdministrator } from './last-administrator.ts';
import { findPermissionsOfRole, findRolesPermitting, forbidRole, permitRole } from './permissions.ts';
import { ADMINISTRATOR_ROLE, type RbacService, type Role } from './role.ts';
import {
  accountExists,
  countAccountsWith,
  deleteAccountRole,
  deleteRoleEverywhere,
  findRole,
  findRolesOf,
  insertAccountRole,
  insertRole,
  listRolesWithAccounts,
  lockRole,
} from './store.ts';

/** The changes of roles, and who has which. */
export function createRbacService({ db, clock = systemClock }: { db: Database; clock?: Clock }): RbacService {
  return {
    createRole: async ({ name, description, requiresMfa = false }, by) => {
      if (!/^[a-z0-9:_./-]{1,64}$/.test(name)) {
        throw new AppError(
          'role_name_invalid',
          422,
          'A role’s name has 1 to 64 characters out of a-z, 0-9 and : _ . / -',
        );
      }
      const now = clock.now();
      const role: Role = {
        id: uuidv7(now),
        name,
        ...(description === undefined ? {} : { description }),
        requiresMfa,
        createdAt: now,
      };
      await db.transaction(async (tx) => {
        await insertRole(tx, role).catch((error: unknown) => {
          if (uniqueViolation(error) !== 'roles_name_unique') throw error;
          throw new AppError('role_taken', 409, 'There is a role of this name already.', { cause: error });
        });
        await appendInTransaction(
          tx,
          {
            type: 'role.created',
            outcome: 'success',
            actor: by,
            payload: { role: name, role_id: role.id, requires_mfa: requiresMfa },
          },
          { clock },
        );
      });
      return role;
    },
    listRoles: () => listRolesWithAccounts(db),
    getRole: async (name) => {
      const role = await findRole(db, name);
      if (!role) throw roleNotFound(name);
      return role;
    },
    grantRole: (accountId, role, by) =>
      db.transaction((tx) => grantRoleInTransaction(tx, { accountId, role, by, now: clock.now() })),
    revokeRole: (accountId, name, by, { force = false } = {}) =>
      db.transaction(async (tx) => {
        const role = await lockRole(tx, name);
        if (!role) throw roleNotFound(name);
        await assertAccount(tx, accountId);
        if (name === ADMINISTRATOR_ROLE && !force) await refuseLastAdministrator(tx, accountId);
        if (!(await deleteAccountRole(tx, { accountId, roleId: role.id }))) return false;
        await appendInTransaction(tx, roleRevoked({ accountId, role, by }), { clock });
        return true;
      }),
    deleteRole: (name, by, { force = false } = {}) =>
      db.transaction(async (tx) => {
        if (name === ADMINISTRATOR_ROLE) {
          throw new AppError('role_built_in', 409, `The role ${name} is Gatehouse’s own and stays.`);
        }
        const role = await lockRole(tx, name);
        if (!role) throw roleNotFound(name);
        if (!force && (await countAccountsWith(tx, role.id)) > 0) {
          throw new AppError('role_in_use', 409, 'Accounts have this role. Revoke it first, or insist.');
        }
        const holders = await deleteRoleEverywhere(tx, role.id);
        for (const accountId of holders) {
          await appendInTransaction(tx, roleRevoked({ accountId, role, by, reason: 'role_deleted' }), {
            clock,
          });
        }
        await appendInTransaction(
          tx,
          {
            type: 'role.deleted',
            outcome: 'success',
            actor: by,
            payload: { role: name, role_id: role.id },
          },
          { clock },
        );
      }),
    rolesOf: (accountId) => findRolesOf(db, accountId),
    permit: (change, by) => db.transaction((tx) => permitRole(tx, change, { by, now: clock.now() })),
    forbid: (change, by) => db.transaction((tx) => forbidRole(tx, change, { by, now: clock.now() })),
    permissionsOf: async (name) => {
      const role = await findRole(db, name);
      if (!role) throw roleNotFound(name);
      return findPermissionsOfRole(db, role);
    },
    rolesPermitting: (api, options = {}) => findRolesPermitting(db, api, options),
  };
}

/**
 * For a change that grants a role along with something else (the first administrator).
 *
 * @returns whether the account did not have it before
 * @throws AppError 404 `role_not_found`, `account_not_found`
 */
export async function grantRoleInTransaction(
  tx: Queryable,
  { accountId, role: name, by, now }: { accountId: string; role: string; by: Actor; now: Date },
): Promise<boolean> {
  const role = await lockRole(tx, name);
  if (!role) throw roleNotFound(name);
  await assertAccount(tx, accountId);
  if (!(await insertAccountRole(tx, { accountId, roleId: role.id, now }))) return false;
  await appendInTransaction(
    tx,
    {
      type: 'account.role_granted',
      outcome: 'success',
      actor: by,
      accountId,
      payload: { role: name, role_id: role.id },
    },
    { clock: { now: () => now } },
  );
  return true;
}

async function assertAccount(tx: Queryable, accountId: string): Promise<void> {
  if (!(await accountExists(tx, accountId))) {
    throw new AppError('account_not_found', 404, 'There is no such account.');
  }
}

function roleRevoked({
  accountId,
  role,
  by,
  reason,
}: {
  accountId: string;
  role: Role;
  by: Actor;
  reason?: string;
}): AuditEvent {
  return {
    type: 'account.role_revoked',
    outcome: 'success',
    actor: by,
    accountId,
    payload: { role: role.name, role_id: role.id, ...(reason === undefined ? {} : { reason }) },
  };
}
