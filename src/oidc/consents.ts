import type { Queryable } from '../platform/database.ts';

/** What a person let a client do, remembered across browsers for clients that ask once. */
export interface Consent {
  accountId: string;
  clientId: string;
  scopes: string[];
  grantedAt: Date;
}

export async function findConsent(
  db: Queryable,
  { accountId, clientId }: { accountId: string; clientId: string },
): Promise<Consent | undefined> {
  const { rows } = await db.query<ConsentRow>(
    `select account_id, client_id, scopes, granted_at from consents where account_id = $1 and client_id = $2`,
    [accountId, clientId],
  );
  const [row] = rows;
  return row && toConsent(row);
}

/** Adds to what was granted before. */
export async function saveConsent(
  db: Queryable,
  { accountId, clientId, scopes, at }: { accountId: string; clientId: string; scopes: string[]; at: Date },
): Promise<void> {
  await db.query(
    `insert into consents (account_id, client_id, scopes, granted_at)
     values ($1, $2, $3, $4)
     on conflict (account_id, client_id) do update
       set scopes = array(select distinct unnest(consents.scopes || excluded.scopes) order by 1),
           granted_at = excluded.granted_at`,
    [accountId, clientId, scopes, at],
  );
}

interface ConsentRow {
  account_id: string;
  client_id: string;
  scopes: string[];
  granted_at: Date;
}

function toConsent(row: ConsentRow): Consent {
  return {
    accountId: row.account_id,
    clientId: row.client_id,
    scopes: row.scopes,
    grantedAt: row.granted_at,
  };
}
