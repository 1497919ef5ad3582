import { type AuthorizationDetail, canonicalDetail } from '../apis/authorization-detail.ts';
import type { Queryable } from '../platform/database.ts';
import { digest } from '../platform/ids.ts';
import type { PermissionsByApi } from './resources.ts';

/** What a person let a client do, remembered across browsers for clients that ask once. */
export interface Consent {
  accountId: string;
  clientId: string;
  scopes: string[];
  permissions: PermissionsByApi;
  grantedAt: Date;
}

const CONSENTS = `
  select account_id, client_id, scopes, granted_at,
         (select json_object_agg(api, permissions)
            from (select api, json_agg(permission order by permission) as permissions from consent_permissions p
                   where p.account_id = consents.account_id and p.client_id = consents.client_id
                   group by api) by_api) as permissions
    from consents`;

export async function findConsent(
  db: Queryable,
  { accountId, clientId }: { accountId: string; clientId: string },
): Promise<Consent | undefined> {
  const { rows } = await db.query<ConsentRow>(`${CONSENTS} where account_id = $1 and client_id = $2`, [
    accountId,
    clientId,
  ]);
  const [row] = rows;
  return row && toConsent(row);
}

/** All that are remembered of the person, in the order of the clients' ids. */
export async function listConsents(db: Queryable, accountId: string): Promise<Consent[]> {
  const { rows } = await db.query<ConsentRow>(`${CONSENTS} where account_id = $1 order by client_id`, [
    accountId,
  ]);
  return rows.map(toConsent);
}

/** With its permissions and details. @returns whether there was one */
export async function deleteConsent(
  tx: Queryable,
  { accountId, clientId }: { accountId: string; clientId: string },
): Promise<boolean> {
  const { rowCount } = await tx.query('delete from consents where account_id = $1 and client_id = $2', [
    accountId,
    clientId,
  ]);
  return rowCount > 0;
}

/** Adds to what was granted before. */
export async function saveConsent(
  db: Queryable,
  {
    accountId,
    clientId,
    scopes,
    permissions,
    at,
  }: { accountId: string; clientId: string; scopes: string[]; permissions: PermissionsByApi; at: Date },
): Promise<void> {
  await db.query(
    `insert into consents (account_id, client_id, scopes, granted_at)
     values ($1, $2, $3, $4)
     on conflict (account_id, client_id) do update
       set scopes = array(select distinct unnest(consents.scopes || excluded.scopes) order by 1),
           granted_at = excluded.granted_at`,
    [accountId, clientId, scopes, at],
  );
  for (const [api, names] of Object.entries(permissions)) {
    // What was removed since the person was asked is not remembered.
    await db.query(
      `insert into consent_permissions (account_id, client_id, api, permission, granted_at)
       select $1, $2, api, name, $5 from api_permissions where api = $3 and name = any ($4) for share
       on conflict do nothing`,
      [accountId, clientId, api, names, at],
    );
  }
}

/** In their canonical forms, the details that the person let the client have, of types that are remembered. */
export async function findRememberedDetails(
  db: Queryable,
  { accountId, clientId }: { accountId: string; clientId: string },
): Promise<Set<string>> {
  const { rows } = await db.query<{ detail: AuthorizationDetail }>(
    'select detail from consent_details where account_id = $1 and client_id = $2',
    [accountId, clientId],
  );
  return new Set(rows.map(({ detail }) => canonicalDetail(detail)));
}

/** After `saveConsent`, in the same transaction. */
export async function saveDetails(
  db: Queryable,
  {
    accountId,
    clientId,
    details,
    at,
  }: { accountId: string; clientId: string; details: readonly AuthorizationDetail[]; at: Date },
): Promise<void> {
  for (const detail of details) {
    // A type that was removed since the person was asked is not remembered.
    await db.query(
      `insert into consent_details (account_id, client_id, type, digest, detail, granted_at)
       select $1, $2, type, $4, $5, $6 from authorization_types where type = $3 for share
       on conflict (account_id, client_id, digest) do update set granted_at = excluded.granted_at`,
      [accountId, clientId, detail.type, digest(canonicalDetail(detail)), JSON.stringify(detail), at],
    );
  }
}

interface ConsentRow {
  account_id: string;
  client_id: string;
  scopes: string[];
  granted_at: Date;
  permissions: PermissionsByApi | null;
}

function toConsent(row: ConsentRow): Consent {
  return {
    accountId: row.account_id,
    clientId: row.client_id,
    scopes: row.scopes,
    permissions: row.permissions ?? {},
    grantedAt: row.granted_at,
  };
}
