import type { Queryable } from '../platform/database.ts';
import type { Api, ApiDefinition, Permission } from './api.ts';

interface ApiRow {
  identifier: string;
  name: string;
  access_token_format: Api['accessTokenFormat'];
  access_token_ttl_seconds: number | null;
  refresh_token_idle_seconds: number | null;
  refresh_token_absolute_seconds: number | null;
  signing_alg: Api['signingAlg'];
  allow_offline_access: boolean;
  client_id: string | null;
  created_at: Date;
  updated_at: Date;
  permissions: (Permission & { created_at: string })[];
}

const SELECT = `
  select apis.*, coalesce(
    (select json_agg(json_build_object('name', p.name, 'description', p.description, 'created_at', p.created_at)
                     order by p.name collate "C")
     from api_permissions p where p.api = apis.identifier), '[]') as permissions
  from apis`;

function columnsOf(definition: ApiDefinition): Record<string, unknown> {
  return {
    name: definition.name,
    access_token_format: definition.accessTokenFormat,
    access_token_ttl_seconds: definition.accessTokenTtlSeconds,
    refresh_token_idle_seconds: definition.refreshTokenIdleSeconds,
    refresh_token_absolute_seconds: definition.refreshTokenAbsoluteSeconds,
    signing_alg: definition.signingAlg,
    allow_offline_access: definition.allowOfflineAccess,
    client_id: definition.clientId,
  };
}

export async function findApi(db: Queryable, identifier: string): Promise<Api | undefined> {
  const { rows } = await db.query<ApiRow>(`${SELECT} where identifier = $1`, [identifier]);
  return rows[0] && toApi(rows[0]);
}

/** Takes the row's lock, so that two changes of one API come one after the other. */
export async function lockApi(tx: Queryable, identifier: string): Promise<Api | undefined> {
  // Locked first and read after: what waited for the lock must see what the other one wrote.
  await tx.query('select 1 from apis where identifier = $1 for update', [identifier]);
  return findApi(tx, identifier);
}

export async function listApis(db: Queryable): Promise<Api[]> {
  const { rows } = await db.query<ApiRow>(`${SELECT} order by identifier collate "C"`);
  return rows.map(toApi);
}

export async function insertApi(
  tx: Queryable,
  identifier: string,
  definition: ApiDefinition,
  now: Date,
): Promise<void> {
  const columns = { identifier, ...columnsOf(definition), created_at: now, updated_at: now };
  const names = Object.keys(columns);
  await tx.query(
    `insert into apis (${names.join(', ')}) values (${names.map((_, index) => `$${index + 1}`).join(', ')})`,
    Object.values(columns),
  );
}

export async function updateApi(
  tx: Queryable,
  identifier: string,
  definition: ApiDefinition,
  now: Date,
): Promise<void> {
  const columns = { ...columnsOf(definition), updated_at: now };
  const assignments = Object.keys(columns).map((name, index) => `${name} = $${index + 2}`);
  await tx.query(`update apis set ${assignments.join(', ')} where identifier = $1`, [
    identifier,
    ...Object.values(columns),
  ]);
}

export async function deleteApi(tx: Queryable, identifier: string): Promise<void> {
  await tx.query('delete from apis where identifier = $1', [identifier]);
}

export async function clientExists(tx: Queryable, clientId: string): Promise<boolean> {
  const { rows } = await tx.query('select 1 from clients where client_id = $1', [clientId]);
  return rows.length > 0;
}

export async function savePermission(
  tx: Queryable,
  api: string,
  { name, description }: Permission,
  now: Date,
): Promise<void> {
  await tx.query(
    `insert into api_permissions (api, name, description, created_at) values ($1, $2, $3, $4)
     on conflict (api, name) do update set description = excluded.description`,
    [api, name, description, now],
  );
}

export async function deletePermission(tx: Queryable, api: string, name: string): Promise<void> {
  await tx.query('delete from api_permissions where api = $1 and name = $2', [api, name]);
}

/** @returns those that the client did not have before */
export async function insertClientPermissions(
  tx: Queryable,
  {
    clientId,
    api,
    permissions,
    now,
  }: { clientId: string; api: string; permissions: readonly string[]; now: Date },
): Promise<string[]> {
  const { rows } = await tx.query<{ permission: string }>(
    `insert into client_permissions (client_id, api, permission, granted_at)
     select $1, $2, name, $4 from unnest($3::text[]) name
     on conflict do nothing returning permission`,
    [clientId, api, permissions, now],
  );
  return rows.map(({ permission }) => permission).sort();
}

/** @returns those that the client had */
export async function deleteClientPermissions(
  tx: Queryable,
  { clientId, api, permissions }: { clientId: string; api: string; permissions: readonly string[] },
): Promise<string[]> {
  const { rows } = await tx.query<{ permission: string }>(
    `delete from client_permissions where client_id = $1 and api = $2 and permission = any ($3)
     returning permission`,
    [clientId, api, permissions],
  );
  return rows.map(({ permission }) => permission).sort();
}

export async function findClientPermissions(
  db: Queryable,
  { clientId, api }: { clientId: string; api: string },
): Promise<string[]> {
  const { rows } = await db.query<{ permission: string }>(
    `select permission from client_permissions where client_id = $1 and api = $2 order by permission collate "C"`,
    [clientId, api],
  );
  return rows.map(({ permission }) => permission);
}

/** Who has permissions of the API for itself. */
export async function listPermittedClients(
  db: Queryable,
  api: string,
): Promise<{ clientId: string; permissions: string[] }[]> {
  const { rows } = await db.query<{ client_id: string; permissions: string[] }>(
    `select client_id, array_agg(permission order by permission collate "C") as permissions
       from client_permissions where api = $1 group by client_id order by client_id`,
    [api],
  );
  return rows.map((row) => ({ clientId: row.client_id, permissions: row.permissions }));
}

function toApi(row: ApiRow): Api {
  return {
    identifier: row.identifier,
    name: row.name,
    accessTokenFormat: row.access_token_format,
    ...(row.access_token_ttl_seconds !== null && { accessTokenTtlSeconds: row.access_token_ttl_seconds }),
    ...(row.refresh_token_idle_seconds !== null && {
      refreshTokenIdleSeconds: row.refresh_token_idle_seconds,
    }),
    ...(row.refresh_token_absolute_seconds !== null && {
      refreshTokenAbsoluteSeconds: row.refresh_token_absolute_seconds,
    }),
    signingAlg: row.signing_alg,
    allowOfflineAccess: row.allow_offline_access,
    ...(row.client_id !== null && { clientId: row.client_id }),
    permissions: row.permissions.map(({ name, description, created_at: createdAt }) => ({
      name,
      description,
      createdAt: new Date(createdAt),
    })),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
