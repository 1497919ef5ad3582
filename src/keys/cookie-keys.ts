import type { Queryable } from '../platform/database.ts';
import { randomToken, uuidv7 } from '../platform/ids.ts';
import type { Sealer } from '../platform/seal.ts';
import { after } from './keyset.ts';

/** A secret that signs cookies. */
export interface CookieKey {
  id: string;
  secretSealed: string;
  activatesAt: Date;
  removesAt?: Date;
}

interface CookieKeyRow {
  id: string;
  secret_sealed: string;
  activates_at: Date;
  removes_at: Date | null;
}

const MIN_KEYS = 2;
/** A new key signs only when every process has surely learnt of it: they poll each second. */
const KNOWN_EVERYWHERE_SECONDS = 15;

/** The first signs; the others verify. A key that does not sign yet comes last. */
export function orderCookieKeys(keys: readonly CookieKey[], now: Date): CookieKey[] {
  const newestFirst = keys
    .filter(({ removesAt }) => !removesAt || removesAt > now)
    .sort(
      (one, other) => other.activatesAt.getTime() - one.activatesAt.getTime() || (one.id < other.id ? 1 : -1),
    );
  return [
    ...newestFirst.filter(({ activatesAt }) => activatesAt <= now),
    ...newestFirst.filter(({ activatesAt }) => activatesAt > now),
  ];
}

export async function listCookieKeys(db: Queryable): Promise<CookieKey[]> {
  const { rows } = await db.query<CookieKeyRow>('select * from cookie_keys');
  return rows.map(toCookieKey);
}

/** @returns how many were missing */
export async function insertMissingCookieKeys(tx: Queryable, sealer: Sealer, now: Date): Promise<number> {
  const missing = Math.max(0, MIN_KEYS - orderCookieKeys(await listCookieKeys(tx), now).length);
  for (let made = 0; made < missing; made += 1) await insertCookieKey(tx, sealer, now, now);
  return missing;
}

/**
 * Adds the next key. The one that signs now goes on verifying until the rotation after this; those before it until
 * the cookies they signed have expired.
 *
 * @returns the new key's id
 */
export async function addNextCookieKey(
  tx: Queryable,
  sealer: Sealer,
  now: Date,
  longestCookieSeconds: number,
): Promise<string> {
  const open = orderCookieKeys(await listCookieKeys(tx), now).filter(({ removesAt }) => !removesAt);
  const signing = open.find(({ activatesAt }) => activatesAt <= now);
  const activatesAt = after(now, KNOWN_EVERYWHERE_SECONDS);
  await tx.query('update cookie_keys set removes_at = $2 where id = any ($1)', [
    open.filter((key) => key !== signing).map(({ id }) => id),
    after(activatesAt, longestCookieSeconds),
  ]);
  await tx.query('delete from cookie_keys where removes_at < $1', [now]);
  return insertCookieKey(tx, sealer, now, activatesAt);
}

export function openCookieKey(sealer: Sealer, { id, secretSealed }: CookieKey): string {
  return sealer.open(secretSealed, cookieSealContextOf(id)).toString();
}

export function cookieSealContextOf(id: string): string {
  return `cookie-key:${id}`;
}

async function insertCookieKey(tx: Queryable, sealer: Sealer, now: Date, activatesAt: Date): Promise<string> {
  const id = uuidv7(now);
  await tx.query(
    'insert into cookie_keys (id, secret_sealed, created_at, activates_at) values ($1, $2, $3, $4)',
    [id, sealer.seal(randomToken(), cookieSealContextOf(id)), now, activatesAt],
  );
  return id;
}

function toCookieKey(row: CookieKeyRow): CookieKey {
  return {
    id: row.id,
    secretSealed: row.secret_sealed,
    activatesAt: row.activates_at,
    ...(row.removes_at !== null && { removesAt: row.removes_at }),
  };
}
