import type { Queryable } from '../platform/database.ts';

/**
 * Erases the personal details (address, user agent, names, e-mail) of every event that concerns the account or that it
 * caused, and their salts, so that nobody can test guesses against the digests. The chain stays whole.
 *
 * @returns how many rows were changed
 */
export async function erasePersonal(db: Queryable, accountId: string): Promise<number> {
  const { rowCount } = await db.query(
    `update audit_events set personal = null, personal_salt = null
      where (account_id = $1::uuid or (actor_kind = 'account' and actor_id = $1::uuid::text))
        and personal is not null`,
    [accountId],
  );
  return rowCount;
}
