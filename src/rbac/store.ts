import type { Queryable } from '../platform/database.ts';
import type { Role } from './role.ts';

interface RoleRow {
  id: string;
  name: string;
  description: string | null;
  requires_mfa: boolean;
  created_at: Date;
}

const COLUMNS = 'r.id, r.name, r.description, r.requires_mfa, r.created_at';

function toRole(row: RoleRow): Role {
  return {
    id: row.id,
    name: row.name,
    ...(row.description === null ? {} : { description: row.description }),
    requiresMfa: row.requires_mfa,
    createdAt: row.created_at,
  };
}

export async function insertRole(tx: Queryable, role: Role): Promise<void> {
  await tx.query(
    'insert into roles (id, name, description, requires_mfa, created_at) values ($1, $2, $3, $4, $5)',
    [role.id, role.name, role.description ?? null, role.requiresMfa, role.createdAt],
  );
}

export async function findRole(db: Queryable, name: string): Promise<Role | undefined> {
  const { rows } = await db.query<RoleRow>(`select ${COLUMNS} from roles r where r.name = $1`, [name]);
  return rows[0] && toRole(rows[0]);
}

/** Takes the row's lock: who grants, revokes or deletes this role takes turns. */
export async function lockRole(tx: Queryable, name: string): Promise<Role | undefined> {
  const { rows } = await tx.query<RoleRow>(`select ${COLUMNS} from roles r where r.name = $1 for update`, [
    name,
  ]);
  return rows[0] && toRole(rows[0]);
}

export async function listRolesWithAccounts(db: Queryable): Promise<(Role & { accounts: number })[]> {
  const { rows } = await db.query<RoleRow & { accounts: number }>(
    `select ${COLUMNS}, (select count(*)::int from account_roles a where a.role_id = r.id) as accounts
       from roles r order by r.name`,
  );
  return rows.map((row) => Object.assign(toRole(row), { accounts: row.accounts }));
}

export async function findRolesOf(db: Queryable, accountId: string): Promise<Role[]> {
  const { rows } = await db.query<RoleRow>(
    `select ${COLUMNS} from account_roles a join roles r on r.id = a.role_id
      where a.account_id = $1 order by r.name`,
    [accountId],
    { name: 'rbac_roles_of' },
  );
  return rows.map(toRole);
}

/** @returns whether the account did not have it; false too where there is no such account */
export async function insertAccountRole(
  tx: Queryable,
  { accountId, roleId, now }: { accountId: string; roleId: string; now: Date },
): Promise<boolean> {
  const { rowCount } = await tx.query(
    `insert into account_roles (account_id, role_id, granted_at)
     select id, $2, $3 from accounts where id = $1
     on conflict do nothing`,
    [accountId, roleId, now],
  );
  return rowCount === 1;
}

export async function deleteAccountRole(
  tx: Queryable,
  { accountId, roleId }: { accountId: string; roleId: string },
): Promise<boolean> {
  const { rowCount } = await tx.query('delete from account_roles where account_id = $1 and role_id = $2', [
    accountId,
    roleId,
  ]);
  return rowCount === 1;
}

/** @returns the accounts that had it */
export async function deleteRoleEverywhere(tx: Queryable, roleId: string): Promise<string[]> {
  const { rows } = await tx.query<{ account_id: string }>(
    'delete from account_roles where role_id = $1 returning account_id',
    [roleId],
  );
  await tx.query('delete from roles where id = $1', [roleId]);
  return rows.map(({ account_id: accountId }) => accountId);
}

export async function countAccountsWith(db: Queryable, roleId: string): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    'select count(*)::int as count from account_roles where role_id = $1',
    [roleId],
  );
  return rows[0]!.count;
}

export async function accountExists(db: Queryable, accountId: string): Promise<boolean> {
  // Whatever is not a UUID is nobody's id; PostgreSQL would answer with an error.
  if (!/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(accountId)) return false;
  const { rows } = await db.query('select 1 from accounts where id = $1', [accountId]);
  return rows.length > 0;
}

/** Whether this account can sign in and has the role, and nobody else who can has it too. */
export async function isOnlyEnabledHolder(
  db: Queryable,
  { accountId, roleId }: { accountId: string; roleId: string },
): Promise<boolean> {
  const { rows } = await db.query<{ is_holder: boolean; others: number }>(
    `select coalesce(bool_or(a.id = $1), false) as is_holder,
            count(*) filter (where a.id <> $1)::int as others
       from account_roles ar join accounts a on a.id = ar.account_id
      where ar.role_id = $2 and a.disabled_at is null`,
    [accountId, roleId],
  );
  return rows[0]!.is_holder && rows[0]!.others === 0;
}
