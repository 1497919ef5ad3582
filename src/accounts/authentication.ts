import { appendInTransaction } from '../audit/append.ts';
import { currentUnitOfWork } from '../audit/unit-of-work.ts';
import type { Database } from '../platform/database.ts';
import type { Account } from './account.ts';
import type { Hasher, HashingSlot, HashParameters } from './hashing/hasher.ts';
import { needsRehash } from './hashing/parameters.ts';
import { normaliseIdentifier } from './identifier.ts';
import { createParameterSets } from './parameter-sets.ts';
import { isPossiblePassword, preparePassword } from './password.ts';
import type { SignInThrottle } from './sign-in-throttle.ts';
import { awaitLoginRow, findLoginRow, replacePasswordHash, toAccount, type AccountRow } from './store.ts';

const MAX_IDENTIFIER_CHARACTERS = 512;
/** How often the password is compared anew because the account was changed meanwhile. */
const MAX_COMPARISONS = 3;

export interface PasswordAttempt {
  /** E-mail address or user name, as typed. */
  identifier: string;
  password: string;
  /** The client's IP address. */
  address: string;
  /** The device cookie's value, where the browser sent one. */
  deviceId?: string | undefined;
}

export type PasswordResult =
  /** `deviceId` is the new value of the device cookie: keep it for a year (`DEVICE_DAYS`), HttpOnly. */
  | { kind: 'ok'; account: Account; deviceId: string }
  /** Unknown account, wrong password, disabled account, no password: nobody outside learns which. */
  | { kind: 'refused' }
  | { kind: 'throttled'; retryAfterSeconds: number }
  | { kind: 'busy'; retryAfterSeconds: number };

export interface AuthenticationService {
  /**
   * One attempt to sign in by password. Records `sign_in.*` in the current unit of work.
   *
   * @throws AppError 503 `throttle_unavailable` where the counters cannot be reached: nobody guesses uncounted
   */
  verifyPassword: (attempt: PasswordAttempt) => Promise<PasswordResult>;
}

/**
 * What an attempt costs must not depend on the account: a place in the hashing queue is taken first, then the attempt is
 * counted, then one query and one comparison for every hashing cost in use, and only then is anything decided.
 *
 * @param onError told of a rehash that failed; the sign-in succeeds all the same
 */
export function createAuthenticationService({
  db,
  hasher,
  parameters,
  throttle,
  onError = () => {},
}: {
  db: Database;
  hasher: Hasher;
  parameters: HashParameters;
  throttle: SignInThrottle;
  onError?: (error: unknown) => void;
}): AuthenticationService {
  const sets = createParameterSets({ db, current: parameters });

  const compare = async (
    slot: HashingSlot,
    row: AccountRow | undefined,
    rawPassword: string,
  ): Promise<boolean> => {
    const password = preparePassword(rawPassword);
    const isPossible = isPossiblePassword(password);
    const { hashes, ownIndex } = await sets.hashesFor(row?.password_hash ?? undefined);
    const matches = await slot.verifyEach(isPossible ? password : 'impossible', hashes);
    return isPossible && matches[ownIndex] === true;
  };

  /**
   * A hash takes its time, and the account may be changed in it: only what holds when it is over lets anybody in. That
   * second look comes after a match alone, so it tells nobody anything.
   */
  const compareStanding = async (
    slot: HashingSlot,
    identifier: string,
    password: string,
  ): Promise<{ row: AccountRow | undefined; reason: string | undefined }> => {
    let row = await findLoginRow(db, normaliseIdentifier(identifier));
    for (let comparison = 0; comparison < MAX_COMPARISONS; comparison += 1) {
      const reason = refusalReason(row, await compare(slot, row, password));
      if (row === undefined || reason !== undefined) return { row, reason };
      const { id } = row;
      const standing = await db.transaction((tx) => awaitLoginRow(tx, id));
      if (standing?.password_hash === row.password_hash) {
        return { row: standing, reason: refusalReason(standing, true) };
      }
      row = standing;
    }
    return { row, reason: 'changed_meanwhile' };
  };

  const rehash = async (slot: HashingSlot, row: AccountRow, rawPassword: string): Promise<void> => {
    const old = row.password_hash;
    if (old === null || !needsRehash(old, parameters)) return;
    const fresh = await slot.hash(preparePassword(rawPassword), parameters);
    await db.transaction(async (tx) => {
      if (!(await replacePasswordHash(tx, { id: row.id, old, fresh }))) return;
      await appendInTransaction(tx, {
        type: 'account.password_set',
        outcome: 'success',
        actor: { kind: 'system', name: 'rehash' },
        accountId: row.id,
        payload: { rehashed: true },
      });
    });
  };

  const judge = async (
    slot: HashingSlot,
    { identifier, password, deviceId }: PasswordAttempt,
    counted: { isKnownDevice: boolean; succeed: () => Promise<void> },
  ): Promise<PasswordResult> => {
    const { row, reason } = await compareStanding(slot, identifier, password);
    if (row === undefined || reason !== undefined) {
      currentUnitOfWork()?.record({
        type: 'sign_in.failed',
        outcome: 'failure',
        accountId: row?.id,
        payload: {
          method: 'password',
          reason: reason ?? 'unknown_account',
          known_device: counted.isKnownDevice,
        },
      });
      return { kind: 'refused' };
    }
    await counted.succeed();
    await rehash(slot, row, password).catch(onError);
    const account = toAccount(row);
    currentUnitOfWork()?.record({
      type: 'sign_in.succeeded',
      outcome: 'success',
      actor: { kind: 'account', id: account.id },
      accountId: account.id,
      payload: { method: 'password', known_device: counted.isKnownDevice },
    });
    return { kind: 'ok', account, deviceId: throttle.rememberDevice({ previous: deviceId, account }) };
  };

  const attemptWith = async (slot: HashingSlot, attempt: PasswordAttempt): Promise<PasswordResult> => {
    const { identifier, address, deviceId } = attempt;
    const counted = await throttle.begin({ identifier, address, deviceId });
    if (counted.kind === 'throttled') {
      const { retryAfterSeconds, by } = counted;
      currentUnitOfWork()?.record({
        type: 'sign_in.throttled',
        outcome: 'failure',
        payload: { method: 'password', reason: by, retry_after_seconds: retryAfterSeconds },
      });
      return { kind: 'throttled', retryAfterSeconds };
    }
    try {
      return await judge(slot, attempt, counted);
    } catch (error) {
      // A fault of ours is nobody's failure.
      await counted.giveBack().catch(onError);
      throw error;
    }
  };

  return {
    verifyPassword: async (attempt) => {
      const place = hasher.reserve();
      if (place.kind === 'busy') {
        currentUnitOfWork()?.record({
          type: 'sign_in.busy',
          outcome: 'failure',
          payload: { method: 'password', retry_after_seconds: place.retryAfterSeconds },
        });
        return place;
      }
      try {
        // Nobody's name is longer; folding a megabyte would take its time.
        const identifier = attempt.identifier.slice(0, MAX_IDENTIFIER_CHARACTERS);
        return await attemptWith(place.slot, { ...attempt, identifier });
      } finally {
        place.slot.release();
      }
    },
  };
}

/** For the operator's eyes only. Undefined: nothing speaks against the sign-in. */
function refusalReason(row: AccountRow | undefined, isMatch: boolean): string | undefined {
  if (row === undefined) return 'unknown_account';
  if (row.disabled_at !== null) return 'account_disabled';
  if (row.password_hash === null) return 'no_password';
  return isMatch ? undefined : 'wrong_password';
}
