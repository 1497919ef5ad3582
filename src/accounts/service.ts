import { appendInTransaction } from '../audit/append.ts';
import type { Actor } from '../audit/events.ts';
import { systemClock, type Clock } from '../platform/clock.ts';
import { uniqueViolation, type Database, type Queryable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import { gather } from '../platform/gather.ts';
import { randomId, uuidv7 } from '../platform/ids.ts';
import { accountNotFound, type Account, type AccountService, type NewAccount } from './account.ts';
import { endEverything } from './end-sessions.ts';
import type { Hasher, HashParameters } from './hashing/hasher.ts';
import { countCharacters, normaliseIdentifier, parseEmail, parseUsername } from './identifier.ts';
import { checkNewPassword } from './password.ts';
import {
  clientExists,
  findAccountById,
  findAccountsBySub,
  findLoginRow,
  insertAccount,
  listAccounts,
  lockAccount,
  toAccount,
  updateDisabledAt,
  updatePassword,
} from './store.ts';

const MAX_NAME_CHARACTERS = 200;
const MAX_PAGE = 1000;

export interface PasswordSettings {
  parameters: HashParameters;
  minLength: number;
}

export interface AccountServiceOptions {
  db: Database;
  hasher: Hasher;
  password: PasswordSettings;
  /** How long a session, grant or token lives at most: revocations are kept that long. */
  longestTokenSeconds: number;
  /** Throws where the account may not be disabled (rbac's last administrator); runs in the change's transaction. */
  beforeDisable?: (tx: Queryable, accountId: string) => Promise<void>;
  clock?: Clock;
}

/** The changes of accounts and the ways to find them. */
export function createAccountService({
  db,
  hasher,
  password: settings,
  longestTokenSeconds,
  beforeDisable = async () => {},
  clock = systemClock,
}: AccountServiceOptions): AccountService {
  const get = async (id: string): Promise<Account> => {
    const account = await findAccountById(db, id);
    if (!account) throw accountNotFound();
    return account;
  };

  // At every refresh, and for every page.
  const findBySub = gather((subs) => findAccountsBySub(db, subs));

  return {
    create: async (input, by) => {
      const prepared = await prepareAccount({ input, hasher, settings });
      return db.transaction((tx) => createAccountInTransaction(tx, { prepared, by, now: clock.now() }));
    },
    get,
    findById: (id) => findAccountById(db, id),
    findBySub,
    findByLogin: async (identifier) => {
      const row = await findLoginRow(db, normaliseIdentifier(identifier));
      return row && toAccount(row);
    },
    list: ({ query, limit = 100, after } = {}) =>
      listAccounts(db, {
        pattern: query === undefined ? undefined : `%${escapeLike(normaliseIdentifier(query))}%`,
        after,
        limit: Math.min(limit, MAX_PAGE),
      }),
    disable: async (id, by, { force = false } = {}) => {
      await get(id);
      return db.transaction(async (tx) => {
        if (!force) await beforeDisable(tx, id);
        const account = await lockAccount(tx, id);
        if (!account) throw accountNotFound();
        if (account.disabledAt) return account;
        const now = clock.now();
        const disabled = await updateDisabledAt(tx, { id, disabledAt: now, now });
        await endEverything(tx, { sub: account.sub, reason: 'account_disabled', now, longestTokenSeconds });
        await appendInTransaction(
          tx,
          { type: 'account.disabled', outcome: 'success', actor: by, accountId: id, payload: {} },
          { clock },
        );
        return disabled;
      });
    },
    enable: async (id, by) => {
      await get(id);
      return db.transaction(async (tx) => {
        const account = await lockAccount(tx, id);
        if (!account) throw accountNotFound();
        if (!account.disabledAt) return account;
        const enabled = await updateDisabledAt(tx, { id, disabledAt: undefined, now: clock.now() });
        await appendInTransaction(
          tx,
          { type: 'account.enabled', outcome: 'success', actor: by, accountId: id, payload: {} },
          { clock },
        );
        return enabled;
      });
    },
    setPassword: async (id, password, by) => {
      const { email, username, name } = await get(id);
      const passwordHash = await hashNewPassword({
        password,
        own: [email, username, name],
        hasher,
        settings,
      });
      return db.transaction(async (tx) => {
        if (!(await lockAccount(tx, id))) throw accountNotFound();
        const now = clock.now();
        const account = await updatePassword(tx, { id, passwordHash, now });
        await endEverything(tx, { sub: account.sub, reason: 'password_set', now, longestTokenSeconds });
        await appendInTransaction(
          tx,
          { type: 'account.password_set', outcome: 'success', actor: by, accountId: id, payload: {} },
          { clock },
        );
        return account;
      });
    },
  };
}

/** An account whose data were checked and whose password was hashed: outside of any transaction, for that takes time. */
export type PreparedAccount = Omit<Parameters<typeof insertAccount>[1], 'id' | 'now'> & {
  isImported: boolean;
};

/** @throws AppError as `AccountService.create` does, except for what is taken */
export async function prepareAccount({
  input,
  hasher,
  settings,
  passwordIsPrinted = false,
}: {
  input: NewAccount;
  hasher: Hasher;
  settings: PasswordSettings;
  passwordIsPrinted?: boolean;
}): Promise<PreparedAccount> {
  const { email, normalised: emailNormalised } = parseEmail(input.email);
  const username = input.username === undefined ? undefined : parseUsername(input.username);
  const name = parseName(input.name);
  if (input.sub !== undefined && !/^[\u0021-\u007e]{1,255}$/.test(input.sub)) {
    throw new AppError('sub_invalid', 422, 'A subject identifier has 1 to 255 visible ASCII characters.');
  }
  const passwordHash =
    input.password === undefined
      ? undefined
      : await hashNewPassword({
          password: input.password,
          own: [email, username?.username, name],
          hasher,
          settings,
        });
  return {
    sub: input.sub ?? randomId(16),
    email,
    emailNormalised,
    emailVerified: input.emailVerified ?? false,
    username: username?.username,
    usernameNormalised: username?.normalised,
    name,
    passwordHash,
    passwordIsPrinted,
    isImported: input.sub !== undefined,
  };
}

/** @throws AppError 409 `email_taken`, `username_taken`, `sub_taken` */
export async function createAccountInTransaction(
  tx: Queryable,
  { prepared, by, now }: { prepared: PreparedAccount; by: Actor; now: Date },
): Promise<Account> {
  const { isImported, ...fields } = prepared;
  // A machine's tokens carry its client id as `sub`: nobody else goes by that name (RFC 9700 §4.15).
  if (isImported && (await clientExists(tx, fields.sub))) {
    throw new AppError('sub_taken', 409, 'A client goes by this subject identifier already.');
  }
  const account = await insertAccount(tx, { ...fields, id: uuidv7(now), now }).catch((error: unknown) => {
    throw takenError(error) ?? error;
  });
  await appendInTransaction(
    tx,
    {
      type: 'account.created',
      outcome: 'success',
      actor: by,
      accountId: account.id,
      payload: {
        email: account.email,
        ...(account.username === undefined ? {} : { username: account.username }),
        ...(account.name === undefined ? {} : { name: account.name }),
        email_verified: account.emailVerified,
        sub: account.sub,
        ...(isImported ? { imported: true } : {}),
      },
    },
    { clock: { now: () => now } },
  );
  return account;
}

async function hashNewPassword({
  password,
  own,
  hasher,
  settings,
}: {
  password: string;
  own: readonly (string | undefined)[];
  hasher: Hasher;
  settings: PasswordSettings;
}): Promise<string> {
  const prepared = checkNewPassword(password, { minLength: settings.minLength, own });
  const result = await hasher.hash(prepared, settings.parameters);
  if (result.kind === 'busy') {
    throw new AppError('hashing_busy', 503, 'Too many people are signing in at this moment. Try again.', {
      retryAfterSeconds: result.retryAfterSeconds,
    });
  }
  return result.hash;
}

function parseName(raw: string | undefined): string | undefined {
  const name = raw?.normalize('NFC').trim();
  if (!name) return undefined;
  if (/\p{Cc}/u.test(name) || countCharacters(name) > MAX_NAME_CHARACTERS) {
    throw new AppError('name_invalid', 422, `A name has at most ${MAX_NAME_CHARACTERS} characters.`);
  }
  return name;
}

function takenError(error: unknown): AppError | undefined {
  switch (uniqueViolation(error)) {
    case 'accounts_email_unique':
      return new AppError('email_taken', 409, 'An account with this e-mail address exists already.');
    case 'accounts_username_unique':
      return new AppError('username_taken', 409, 'An account with this user name exists already.');
    case 'accounts_sub_unique':
      return new AppError('sub_taken', 409, 'An account with this subject identifier exists already.');
    default:
      return undefined;
  }
}

function escapeLike(text: string): string {
  return text.replaceAll(/[\\%_]/g, String.raw`\$&`);
}
