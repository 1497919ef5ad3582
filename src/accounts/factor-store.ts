import type { Queryable } from '../platform/database.ts';

export interface TotpRow {
  account_id: string;
  /** Sealed; see totpContext. */
  secret: string;
  confirmed_at: Date | null;
  created_at: Date;
}

export const totpContext = (accountId: string): string => `totp:${accountId}`;
export const recoveryContext = (accountId: string): string => `recovery:${accountId}`;

export async function findTotp(db: Queryable, accountId: string): Promise<TotpRow | undefined> {
  const { rows } = await db.query<TotpRow>(
    'select account_id, secret, confirmed_at, created_at from totp where account_id = $1',
    [accountId],
    { name: 'accounts_find_totp' },
  );
  return rows[0];
}

/**
 * Keeps the secret unless one is there that is confirmed or younger than `staleBefore`: of several at once one stays,
 * and all are told the same.
 */
export async function insertTotpUnlessFresh(
  tx: Queryable,
  totp: { accountId: string; secret: string; now: Date; staleBefore: Date },
): Promise<TotpRow> {
  await tx.query(
    `insert into totp (account_id, secret, created_at) values ($1, $2, $3)
     on conflict (account_id) do update
       set secret = excluded.secret, created_at = excluded.created_at, last_step = null
       where totp.confirmed_at is null and totp.created_at < $4`,
    [totp.accountId, totp.secret, totp.now, totp.staleBefore],
  );
  return (await findTotp(tx, totp.accountId))!;
}

/** @returns whether it was this call that confirmed it, while it was still the key that the code was judged by */
export async function confirmTotpStep(
  tx: Queryable,
  { totp, step, now }: { totp: TotpRow; step: number; now: Date },
): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update totp set confirmed_at = $4, last_step = $3
      where account_id = $1 and created_at = $2 and confirmed_at is null`,
    [totp.account_id, totp.created_at, step, now],
  );
  return rowCount === 1;
}

/** Compare-and-set: of any number at once, one gets the step, and none an earlier one after it. */
export async function spendTotpStep(
  tx: Queryable,
  { totp, step }: { totp: TotpRow; step: number },
): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update totp set last_step = $3
      where account_id = $1 and created_at = $2 and confirmed_at is not null
        and (last_step is null or last_step < $3)`,
    [totp.account_id, totp.created_at, step],
  );
  return rowCount === 1;
}

export async function deleteFactors(
  tx: Queryable,
  accountId: string,
): Promise<{ totp: number; recoveryCodes: number }> {
  const totp = await tx.query('delete from totp where account_id = $1', [accountId]);
  const codes = await tx.query('delete from recovery_codes where account_id = $1', [accountId]);
  await tx.query('delete from recovery_keys where account_id = $1', [accountId]);
  return { totp: totp.rowCount, recoveryCodes: codes.rowCount };
}

export async function findRecoveryKey(db: Queryable, accountId: string): Promise<string | undefined> {
  const { rows } = await db.query<{ secret: string }>(
    'select secret from recovery_keys where account_id = $1',
    [accountId],
  );
  return rows[0]?.secret;
}

/** All codes at once, with the sealed key of their digests: older ones end. */
export async function replaceRecoveryCodes(
  tx: Queryable,
  { accountId, key, digests, now }: { accountId: string; key: string; digests: readonly string[]; now: Date },
): Promise<void> {
  await tx.query('delete from recovery_codes where account_id = $1', [accountId]);
  await tx.query(
    `insert into recovery_keys (account_id, secret) values ($1, $2)
     on conflict (account_id) do update set secret = excluded.secret`,
    [accountId, key],
  );
  await tx.query(
    'insert into recovery_codes (account_id, digest, created_at) select $1, unnest($2::text[]), $3',
    [accountId, digests, now],
  );
}

/** Compare-and-set: of any number at once, one gets the code. */
export async function spendRecoveryCode(
  tx: Queryable,
  { accountId, digest, now }: { accountId: string; digest: string; now: Date },
): Promise<boolean> {
  const { rowCount } = await tx.query(
    'update recovery_codes set used_at = $3 where account_id = $1 and digest = $2 and used_at is null',
    [accountId, digest, now],
  );
  return rowCount === 1;
}

export async function countRecoveryCodes(db: Queryable, accountId: string): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    'select count(*)::int as count from recovery_codes where account_id = $1 and used_at is null',
    [accountId],
  );
  return rows[0]!.count;
}
