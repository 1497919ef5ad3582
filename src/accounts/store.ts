import type { Queryable } from '../platform/database.ts';
import type { Account } from './account.ts';

export interface AccountRow {
  id: string;
  sub: string;
  email: string;
  email_verified: boolean;
  username: string | null;
  name: string | null;
  password_hash: string | null;
  disabled_at: Date | null;
  created_at: Date;
  updated_at: Date;
}

const COLUMNS =
  'id, sub, email, email_verified, username, name, password_hash, disabled_at, created_at, updated_at';

export function toAccount(row: AccountRow): Account {
  return {
    id: row.id,
    sub: row.sub,
    email: row.email,
    emailVerified: row.email_verified,
    ...(row.username === null ? {} : { username: row.username }),
    ...(row.name === null ? {} : { name: row.name }),
    hasPassword: row.password_hash !== null,
    ...(row.disabled_at === null ? {} : { disabledAt: row.disabled_at }),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

export async function insertAccount(
  db: Queryable,
  account: {
    id: string;
    sub: string;
    email: string;
    emailNormalised: string;
    emailVerified: boolean;
    username: string | undefined;
    usernameNormalised: string | undefined;
    name: string | undefined;
    passwordHash: string | undefined;
    passwordIsPrinted: boolean;
    now: Date;
  },
): Promise<Account> {
  const { rows } = await db.query<AccountRow>(
    `insert into accounts (
       id, sub, email, email_normalised, email_verified, username, username_normalised, name, password_hash,
       password_changed_at, password_is_printed, created_at, updated_at
     ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, case when $9::text is null then null else $11::timestamptz end,
               $10, $11, $11)
     returning ${COLUMNS}`,
    [
      account.id,
      account.sub,
      account.email,
      account.emailNormalised,
      account.emailVerified,
      account.username ?? null,
      account.usernameNormalised ?? null,
      account.name ?? null,
      account.passwordHash ?? null,
      account.passwordIsPrinted,
      account.now,
    ],
  );
  return toAccount(rows[0]!);
}

export async function findAccountById(db: Queryable, id: string): Promise<Account | undefined> {
  // Whatever is not a UUID is nobody's id; PostgreSQL would answer with an error.
  if (!/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(id)) return undefined;
  const { rows } = await db.query<AccountRow>(`select ${COLUMNS} from accounts where id = $1`, [id]);
  return rows[0] && toAccount(rows[0]);
}

/** Whether a client (clients/) is called that. */
export async function clientExists(tx: Queryable, clientId: string): Promise<boolean> {
  const { rows } = await tx.query('select 1 from clients where client_id = $1', [clientId]);
  return rows.length > 0;
}

/** By `sub`; who does not exist is left out. */
export async function findAccountsBySub(
  db: Queryable,
  subs: readonly string[],
): Promise<Map<string, Account>> {
  const { rows } = await db.query<AccountRow>(
    `select ${COLUMNS} from accounts where sub = any($1)`,
    // A NUL cannot be stored, so nobody has it.
    [subs.filter((sub) => !sub.includes('\0'))],
    { name: 'accounts_find_by_sub' },
  );
  return new Map(rows.map((row) => [row.sub, toAccount(row)]));
}

/** @param normalised as `normaliseIdentifier` makes it. User names have no @, so at most one row fits. */
export async function findLoginRow(db: Queryable, normalised: string): Promise<AccountRow | undefined> {
  // A NUL cannot be stored, so nobody has it; the query runs all the same, as for everybody.
  const { rows } = await db.query<AccountRow>(
    `select ${COLUMNS} from accounts where email_normalised = $1 or username_normalised = $1`,
    [normalised.replaceAll('\0', ' ')],
  );
  return rows[0];
}

/**
 * The row as it stands once every change of it that is under way has ended (`for share`): none can have been decided
 * before this and be seen only after it. Fails where one takes longer than two seconds: the caller waits meanwhile, and
 * others for its connection.
 */
export async function awaitLoginRow(tx: Queryable, id: string): Promise<AccountRow | undefined> {
  await tx.query(`set local lock_timeout = '2s'`);
  const { rows } = await tx.query<AccountRow>(`select ${COLUMNS} from accounts where id = $1 for share`, [
    id,
  ]);
  return rows[0];
}

export async function listAccounts(
  db: Queryable,
  { pattern, after, limit }: { pattern: string | undefined; after: string | undefined; limit: number },
): Promise<Account[]> {
  const { rows } = await db.query<AccountRow>(
    `select ${COLUMNS} from accounts
      where ($1::text is null
             or email_normalised like $1 or username_normalised like $1 or name ilike $1)
        and ($2::uuid is null or id > $2)
      order by id
      limit $3`,
    [pattern ?? null, after ?? null, limit],
  );
  return rows.map(toAccount);
}

/** Takes the row's lock, so that whatever is decided on it holds until the transaction ends. */
export async function lockAccount(tx: Queryable, id: string): Promise<Account | undefined> {
  const { rows } = await tx.query<AccountRow>(`select ${COLUMNS} from accounts where id = $1 for update`, [
    id,
  ]);
  return rows[0] && toAccount(rows[0]);
}

export async function updateDisabledAt(
  tx: Queryable,
  { id, disabledAt, now }: { id: string; disabledAt: Date | undefined; now: Date },
): Promise<Account> {
  const { rows } = await tx.query<AccountRow>(
    `update accounts set disabled_at = $2, updated_at = $3 where id = $1 returning ${COLUMNS}`,
    [id, disabledAt ?? null, now],
  );
  return toAccount(rows[0]!);
}

export async function updatePassword(
  tx: Queryable,
  { id, passwordHash, now }: { id: string; passwordHash: string; now: Date },
): Promise<Account> {
  const { rows } = await tx.query<AccountRow>(
    `update accounts
        set password_hash = $2, password_changed_at = $3, password_is_printed = false, updated_at = $3
      where id = $1 returning ${COLUMNS}`,
    [id, passwordHash, now],
  );
  return toAccount(rows[0]!);
}

/** Replaces a hash of the same password, unless the password was changed meanwhile. @returns whether it did */
export async function replacePasswordHash(
  tx: Queryable,
  { id, old, fresh }: { id: string; old: string; fresh: string },
): Promise<boolean> {
  const { rowCount } = await tx.query(
    'update accounts set password_hash = $3 where id = $1 and password_hash = $2',
    [id, old, fresh],
  );
  return rowCount === 1;
}

/** The hashing costs that accounts have now, skipping through the index from one to the next. */
export async function findPasswordParameters(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ parameters: string }>(
    `with recursive sets as (
       (select password_parameters as parameters from accounts
         where password_parameters is not null order by password_parameters limit 1)
       union all
       select (select a.password_parameters from accounts a
                where a.password_parameters > s.parameters order by a.password_parameters limit 1)
         from sets s where s.parameters is not null
     )
     select parameters from sets where parameters is not null`,
  );
  return rows.map(({ parameters }) => parameters);
}

export async function hasAnyAccount(db: Queryable): Promise<boolean> {
  const { rows } = await db.query('select 1 from accounts limit 1');
  return rows.length > 0;
}
