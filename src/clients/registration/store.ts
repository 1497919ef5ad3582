import type { Queryable } from '../../platform/database.ts';

export interface Registration {
  clientId: string;
  /** The initial access token that it registered with; absent where anybody could. */
  tokenId?: string;
  /** SHA-256 of its registration access token. */
  accessDigest: string;
}

interface RegistrationRow {
  client_id: string;
  token_id: string | null;
  access_digest: string;
}

export async function findRegistration(db: Queryable, clientId: string): Promise<Registration | undefined> {
  const { rows } = await db.query<RegistrationRow>(
    'select client_id, token_id, access_digest from client_registrations where client_id = $1',
    [clientId],
  );
  return rows[0] && toRegistration(rows[0]);
}

export async function insertRegistration(
  tx: Queryable,
  { clientId, tokenId, accessDigest }: Registration,
  now: Date,
): Promise<void> {
  await tx.query(
    `insert into client_registrations (client_id, token_id, access_digest, registered_at)
     values ($1, $2, $3, $4)`,
    [clientId, tokenId, accessDigest, now],
  );
}

/** @returns whether it still was the one before: of two changes at once that present the same token one is made */
export async function replaceAccess(
  tx: Queryable,
  { clientId, before, after }: { clientId: string; before: string; after: string },
): Promise<boolean> {
  const { rowCount } = await tx.query(
    'update client_registrations set access_digest = $3 where client_id = $1 and access_digest = $2',
    [clientId, before, after],
  );
  return rowCount === 1;
}

/** What people said yes to (oidc/consents.ts) was to send them elsewhere. */
export async function forgetConsents(tx: Queryable, clientId: string): Promise<void> {
  await tx.query('delete from consents where client_id = $1', [clientId]);
}

/** Up to the limit: nobody needs to know how many more there are. */
export async function countRegistrations(db: Queryable, limit: number): Promise<number> {
  const { rowCount } = await db.query('select 1 from client_registrations limit $1', [limit]);
  return rowCount;
}

/** Writes down the day, for those among them that registered themselves. */
export async function saveUse(db: Queryable, clientIds: readonly string[], day: Date): Promise<void> {
  await db.query(
    `update client_registrations set last_used_at = $2
      where client_id = any ($1) and (last_used_at is null or last_used_at < $2)`,
    [clientIds, day],
  );
}

export async function unusedSince(db: Queryable, time: Date, limit: number): Promise<string[]> {
  const { rows } = await db.query<{ client_id: string }>(
    `select client_id from client_registrations where coalesce(last_used_at, registered_at) < $1
      order by coalesce(last_used_at, registered_at) limit $2`,
    [time, limit],
  );
  return rows.map(({ client_id: clientId }) => clientId);
}

export async function isUnusedSince(tx: Queryable, clientId: string, time: Date): Promise<boolean> {
  const { rowCount } = await tx.query(
    `select 1 from client_registrations
      where client_id = $1 and coalesce(last_used_at, registered_at) < $2 for update`,
    [clientId, time],
  );
  return rowCount === 1;
}

function toRegistration(row: RegistrationRow): Registration {
  return {
    clientId: row.client_id,
    accessDigest: row.access_digest,
    ...(row.token_id !== null && { tokenId: row.token_id }),
  };
}
