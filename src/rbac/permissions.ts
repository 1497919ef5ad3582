import { appendInTransaction } from '../audit/append.ts';
import type { Actor } from '../audit/events.ts';
import type { Queryable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import { roleNotFound } from './errors.ts';
import type { Role, RolePermissions, RolePermissionsChange } from './role.ts';
import { lockRole } from './store.ts';

interface Change {
  by: Actor;
  now: Date;
}

/** @returns the permissions that the role did not carry before. @throws AppError 404 */
export async function permitRole(
  tx: Queryable,
  { role: name, api, permissions }: RolePermissionsChange,
  { by, now }: Change,
): Promise<string[]> {
  const role = await lockRole(tx, name);
  if (!role) throw roleNotFound(name);
  await assertPermissions(tx, api, permissions);
  const { rows } = await tx.query<{ permission: string }>(
    `insert into role_permissions (role_id, api, permission, granted_at)
     select $1, $2, name, $4 from unnest($3::text[]) name
     on conflict do nothing returning permission`,
    [role.id, api, permissions, now],
  );
  const added = rows.map(({ permission }) => permission).sort();
  await recordChange(tx, 'role.permitted', { role, api, permissions: added }, { by, now });
  return added;
}

/** @returns the permissions that the role carried. @throws AppError 404 */
export async function forbidRole(
  tx: Queryable,
  { role: name, api, permissions }: RolePermissionsChange,
  { by, now }: Change,
): Promise<string[]> {
  const role = await lockRole(tx, name);
  if (!role) throw roleNotFound(name);
  await assertPermissions(tx, api, permissions);
  const { rows } = await tx.query<{ permission: string }>(
    `delete from role_permissions where role_id = $1 and api = $2 and permission = any ($3) returning permission`,
    [role.id, api, permissions],
  );
  const removed = rows.map(({ permission }) => permission).sort();
  await recordChange(tx, 'role.forbidden', { role, api, permissions: removed }, { by, now });
  return removed;
}

export async function findPermissionsOfRole(db: Queryable, { id, name }: Role): Promise<RolePermissions[]> {
  const { rows } = await db.query<{ api: string; permissions: string[] }>(
    `select api, array_agg(permission order by permission collate "C") as permissions
       from role_permissions where role_id = $1 group by api order by api collate "C"`,
    [id],
  );
  return rows.map(({ api, permissions }) => ({ role: name, api, permissions }));
}

export async function findRolesPermitting(
  db: Queryable,
  api: string,
  { accountId }: { accountId?: string },
): Promise<RolePermissions[]> {
  const { rows } = await db.query<{ role: string; permissions: string[] }>(
    `select r.name as role, array_agg(p.permission order by p.permission collate "C") as permissions
       from role_permissions p join roles r on r.id = p.role_id
      where p.api = $1
        and ($2::uuid is null
          or exists (select 1 from account_roles a where a.role_id = r.id and a.account_id = $2))
      group by r.name order by r.name`,
    [api, accountId ?? null],
    { name: 'rbac_roles_permitting' },
  );
  return rows.map(({ role, permissions }) => ({ role, api, permissions }));
}

/** Locked against removal until the change is through. */
async function assertPermissions(tx: Queryable, api: string, names: readonly string[]): Promise<void> {
  const { rows } = await tx.query<{ name: string }>(
    'select name from api_permissions where api = $1 and name = any ($2) for share',
    [api, names],
  );
  const stranger = names.find((name) => !rows.some((row) => row.name === name));
  if (stranger === undefined) return;
  const known = await tx.query('select 1 from apis where identifier = $1', [api]);
  if (known.rowCount === 0)
    throw new AppError('api_not_found', 404, `There is no API ${JSON.stringify(api)}.`);
  throw new AppError(
    'permission_not_found',
    404,
    `The API ${api} has no permission ${JSON.stringify(stranger)}. \`gatehouse apis show\` lists what it has.`,
  );
}

async function recordChange(
  tx: Queryable,
  type: 'role.permitted' | 'role.forbidden',
  { role, api, permissions }: { role: Role; api: string; permissions: string[] },
  { by, now }: Change,
): Promise<void> {
  if (permissions.length === 0) return;
  await appendInTransaction(
    tx,
    {
      type,
      outcome: 'success',
      actor: by,
      payload: { role: role.name, role_id: role.id, api, permissions },
    },
    { clock: { now: () => now } },
  );
}
