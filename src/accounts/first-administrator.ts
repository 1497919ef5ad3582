import { randomInt } from 'node:crypto';

import type { Actor } from '../audit/events.ts';
import { systemClock, type Clock } from '../platform/clock.ts';
import type { Database, Queryable } from '../platform/database.ts';
import type { Account } from './account.ts';
import type { Hasher } from './hashing/hasher.ts';
import { createAccountInTransaction, prepareAccount, type PasswordSettings } from './service.ts';
import { hasAnyAccount } from './store.ts';

const BY: Actor = { kind: 'system', name: 'first-start' };
/** Lower case letters and digits that nobody misreads on a screen. */
const ALPHABET = 'abcdefghjkmnpqrstuvwxyz23456789';

/**
 * Makes the account that everything else is set up with, where there is no account at all; does nothing otherwise, also
 * when several processes start at once.
 *
 * @param password the operator's own; generated otherwise, and then production refuses to start until it is changed
 * @param grantAdministrator gives the role (rbac's), in the same transaction
 * @returns the account, and the generated password, this once; undefined where an account exists
 */
export async function createFirstAdministrator({
  db,
  hasher,
  settings,
  email,
  password,
  grantAdministrator,
  clock = systemClock,
}: {
  db: Database;
  hasher: Hasher;
  settings: PasswordSettings;
  email: string;
  password?: string | undefined;
  grantAdministrator: (tx: Queryable, accountId: string, by: Actor) => Promise<unknown>;
  clock?: Clock;
}): Promise<{ account: Account; password?: string } | undefined> {
  if (await hasAnyAccount(db)) return undefined;
  const generated = password === undefined ? generatePassword() : undefined;
  const prepared = await prepareAccount({
    input: { email, name: 'Administrator', emailVerified: true, password: password ?? generated! },
    hasher,
    settings,
    passwordIsPrinted: generated !== undefined,
  });
  return db.transaction(async (tx) => {
    // Against another process that starts at this moment, and against any account being made meanwhile.
    await tx.query('lock table accounts in share row exclusive mode');
    if (await hasAnyAccount(tx)) return undefined;
    const account = await createAccountInTransaction(tx, { prepared, by: BY, now: clock.now() });
    await grantAdministrator(tx, account.id, BY);
    return { account, ...(generated === undefined ? {} : { password: generated }) };
  });
}

/** Whether somebody may still sign in with a password that was printed on a terminal. */
export async function hasPrintedPassword(db: Queryable): Promise<boolean> {
  const { rows } = await db.query(
    'select 1 from accounts where password_is_printed and disabled_at is null limit 1',
  );
  return rows.length > 0;
}

/** @returns "k4mzq-…", five groups of five out of 31: 123 random bits, readable aloud */
export function generatePassword(): string {
  const group = (): string => Array.from({ length: 5 }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
  return Array.from({ length: 5 }, group).join('-');
}
