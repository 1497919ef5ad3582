import { appendInTransaction } from '../audit/append.ts';
import type { Actor } from '../audit/events.ts';
import type { Database, Queryable } from '../platform/database.ts';
import type { Sealer } from '../platform/seal.ts';
import { recoveryContext, totpContext } from './factor-store.ts';

const BATCH = 200;

/** What is sealed here, and under which context. */
const SEALED = [
  { table: 'totp', contextOf: totpContext },
  { table: 'recovery_keys', contextOf: recoveryContext },
] as const;

/**
 * Seals again, with the current key, what an older key sealed: after it has run, the older key may go from the settings.
 * Safe beside a running server and another resealing. Device cookies are not stored, so they lapse with their key.
 *
 * @returns how many secrets were resealed
 * @throws Error naming the account whose secret does not open: its key is not among the configured ones
 */
export async function resealSecrets({
  db,
  sealer,
  by = { kind: 'system', name: 'reseal' },
}: {
  db: Database;
  sealer: Sealer;
  by?: Actor;
}): Promise<number> {
  let total = 0;
  for (const { table, contextOf } of SEALED) {
    for (;;) {
      const count = await db.transaction((tx) => resealBatch(tx, { table, contextOf, sealer, by }));
      total += count;
      if (count === 0) break;
    }
  }
  return total;
}

async function resealBatch(
  tx: Queryable,
  { table, contextOf, sealer, by }: (typeof SEALED)[number] & { sealer: Sealer; by: Actor },
): Promise<number> {
  const { rows } = await tx.query<{ account_id: string; secret: string }>(
    `select account_id, secret from ${table}
      where split_part(secret, '.', 2) <> $1 order by account_id limit ${BATCH} for update`,
    [sealer.currentKeyId],
  );
  if (rows.length === 0) return 0;
  for (const { account_id: accountId, secret } of rows) {
    const context = contextOf(accountId);
    let opened: Buffer;
    try {
      opened = sealer.open(secret, context);
    } catch (cause) {
      throw new Error(`the ${table} of account ${accountId} cannot be opened`, { cause });
    }
    await tx.query(`update ${table} set secret = $2 where account_id = $1`, [
      accountId,
      sealer.seal(opened, context),
    ]);
  }
  await appendInTransaction(tx, {
    type: 'key.resealed',
    outcome: 'success',
    actor: by,
    payload: { count: rows.length, key_id: sealer.currentKeyId },
  });
  return rows.length;
}
