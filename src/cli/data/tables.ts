import type { Queryable } from '../../platform/database.ts';

/** The number in the first line of an export; a reader refuses any other. */
export const FORMAT_VERSION = 1;

/** A table that an export carries. */
export interface PortableTable {
  name: string;
  orderBy: string;
  /** The column whose values are sealed (platform/seal.ts). */
  sealed?: string;
  /** Columns that mean something in their own database only. */
  leftOut?: readonly string[];
  /** SQL: the rows that a freshly migrated database has; those of the export take their place. */
  freshRows?: string;
}

/** In the order of their foreign keys. A test holds this list and the next one to the migrations. */
export const PORTABLE_TABLES: readonly PortableTable[] = [
  { name: 'accounts', orderBy: 'id' },
  { name: 'totp', orderBy: 'account_id', sealed: 'secret' },
  { name: 'recovery_keys', orderBy: 'account_id', sealed: 'secret' },
  { name: 'recovery_codes', orderBy: 'account_id, digest' },
  { name: 'roles', orderBy: 'id', freshRows: `name = 'admin'` },
  { name: 'account_roles', orderBy: 'account_id, role_id' },
  { name: 'pairwise_subjects', orderBy: 'account_id, sector' },
  { name: 'clients', orderBy: 'client_id' },
  { name: 'client_secrets', orderBy: 'id' },
  { name: 'registration_tokens', orderBy: 'id' },
  { name: 'client_registrations', orderBy: 'client_id' },
  { name: 'signing_keys', orderBy: 'kid', sealed: 'private_jwk_sealed' },
  { name: 'cookie_keys', orderBy: 'id', sealed: 'secret_sealed' },
  { name: 'apis', orderBy: 'identifier' },
  { name: 'api_permissions', orderBy: 'api, name' },
  { name: 'authorization_types', orderBy: 'type' },
  { name: 'role_permissions', orderBy: 'role_id, api, permission' },
  { name: 'client_permissions', orderBy: 'client_id, api, permission' },
  { name: 'consents', orderBy: 'account_id, client_id' },
  { name: 'consent_permissions', orderBy: 'account_id, client_id, api, permission' },
  { name: 'consent_details', orderBy: 'account_id, client_id, digest' },
  // `seq`, `hash` and `prev_hash` included: the chain goes on where it was.
  { name: 'audit_events', orderBy: 'at, id' },
  { name: 'audit_head', orderBy: 'singleton', freshRows: 'seq = 0' },
  { name: 'audit_writers', orderBy: 'id' },
  { name: 'spent', orderBy: 'digest' },
  { name: 'logout_cursor', orderBy: 'singleton', freshRows: 'true' },
  { name: 'logout_notices', orderBy: 'id', leftOut: ['leased_until', 'lease_id'] },
  // `version` is a transaction's number: the target gives its own, which its processes will look for.
  { name: 'revocations', orderBy: 'id', leftOut: ['version'] },
  { name: 'versions', orderBy: 'name', freshRows: 'true' },
];

/** What expires, or belongs to the one database: sessions, grants and tokens, counters, which migrations it has. */
export const TABLES_LEFT_BEHIND: readonly string[] = [
  'approval_requests',
  'approval_pings',
  'oidc_payloads',
  'oidc_sessions',
  'oidc_session_authorizations',
  'oidc_marks',
  'oidc_answers',
  'oidc_polls',
  'rate_limits',
  'schema_migrations',
];

export const LEFT_BEHIND_NOTE =
  'Sessions, grants and tokens are not part of it: people sign in again, and applications send them to do so.';

/** The columns to carry, in their own order; what the database computes by itself is left out. */
export async function columnsOf(tx: Queryable, { name, leftOut = [] }: PortableTable): Promise<string[]> {
  const { rows } = await tx.query<{ attname: string }>(
    `select attname from pg_attribute
      where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = ''
      order by attnum`,
    [name],
  );
  return rows.map(({ attname }) => attname).filter((column) => !leftOut.includes(column));
}

export async function appliedMigrations(tx: Queryable): Promise<string[]> {
  const { rows } = await tx.query<{ name: string }>('select name from schema_migrations order by name');
  return rows.map(({ name }) => name);
}

/** The ids of all keys that seal something in the portable tables. */
export async function sealingKeysInUse(tx: Queryable): Promise<string[]> {
  const selects = PORTABLE_TABLES.flatMap(({ name, sealed }) =>
    sealed === undefined
      ? []
      : [`select split_part(${sealed}, '.', 2) as id from ${name} where ${sealed} is not null`],
  );
  const { rows } = await tx.query<{ id: string }>(`${selects.join(' union ')} order by id`);
  return rows.map(({ id }) => id);
}
