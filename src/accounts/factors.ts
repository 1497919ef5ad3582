import { randomBytes } from 'node:crypto';

import { appendInTransaction } from '../audit/append.ts';
import type { Actor } from '../audit/events.ts';
import { currentUnitOfWork } from '../audit/unit-of-work.ts';
import { systemClock, type Clock } from '../platform/clock.ts';
import type { Database, Queryable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import type { RateLimiter } from '../platform/rate-limit.ts';
import type { Sealer } from '../platform/seal.ts';
import { accountNotFound } from './account.ts';
import { endEverything } from './end-sessions.ts';
import {
  confirmTotpStep,
  countRecoveryCodes,
  deleteFactors,
  findRecoveryKey,
  findTotp,
  insertTotpUnlessFresh,
  recoveryContext,
  replaceRecoveryCodes,
  spendRecoveryCode,
  spendTotpStep,
  totpContext,
  type TotpRow,
} from './factor-store.ts';
import { generateRecoveryCode, parseRecoveryCode, recoveryCodeDigest } from './recovery-codes.ts';
import { findAccountById, lockAccount } from './store.ts';
import { generateTotpSecret, matchTotpStep, parseTotpCode, totpUri } from './totp.ts';

/** An unconfirmed key is shown again for this long; then a new one, for somebody else may have seen it. */
const ENROLMENT_MINUTES = 20;

export interface FactorAttempt {
  accountId: string;
  /** As typed. */
  code: string;
}

export type FactorRefusal =
  | { kind: 'wrong' }
  /** Not of a code's form, so not counted as a guess. */
  | { kind: 'malformed' }
  | { kind: 'throttled'; retryAfterSeconds: number };

export interface FactorService {
  /** Whether a TOTP factor is enrolled and confirmed. */
  hasTotp: (accountId: string) => Promise<boolean>;
  /**
   * The key to show: base32, and as `otpauth:` URI for the QR code. The same one again until it is confirmed or 20
   * minutes old.
   *
   * @throws AppError 404 `account_not_found`, 409 `totp_already_enrolled`
   */
  beginTotpEnrolment: (accountId: string) => Promise<{ secret: string; otpauthUri: string }>;
  /**
   * The enrolment counts from here on. The recovery codes are shown now and never again; they replace older ones.
   *
   * @throws AppError 409 `totp_not_begun` where there is nothing to confirm, `totp_already_enrolled`
   */
  confirmTotp: (attempt: FactorAttempt) => Promise<{ kind: 'ok'; recoveryCodes: string[] } | FactorRefusal>;
  /** RFC 6238 §5.2: each step is accepted once. */
  verifyTotp: (attempt: FactorAttempt) => Promise<{ kind: 'ok' } | FactorRefusal>;
  verifyRecoveryCode: (attempt: FactorAttempt) => Promise<{ kind: 'ok'; remaining: number } | FactorRefusal>;
  remainingRecoveryCodes: (accountId: string) => Promise<number>;
  /** @throws AppError 409 `totp_not_enrolled` */
  regenerateRecoveryCodes: (accountId: string, by: Actor) => Promise<string[]>;
  /**
   * Removes TOTP and recovery codes, and ends every session and token: they may rest on the factor that is gone.
   *
   * @throws AppError 404 `account_not_found`
   */
  resetFactors: (accountId: string, by: Actor) => Promise<void>;
}

type Method = 'totp' | 'recovery_code';

/**
 * Second factors. Guesses are counted by account and by factor, whatever browser they come from: whoever gets here knows
 * the password already.
 *
 * @param limiter a `createRateLimiter` with a name of its own
 * @param recoveryCodes how many a person gets
 * @param longestTokenSeconds as `createAccountService` takes it
 */
export function createFactorService({
  db,
  sealer,
  limiter,
  issuerName,
  recoveryCodes: recoveryCodeCount,
  longestTokenSeconds,
  clock = systemClock,
}: {
  db: Database;
  sealer: Sealer;
  limiter: RateLimiter;
  issuerName: string;
  recoveryCodes: number;
  longestTokenSeconds: number;
  clock?: Clock;
}): FactorService {
  const openSecret = (row: TotpRow): string =>
    sealer.open(row.secret, totpContext(row.account_id)).toString('utf8');

  const stepOf = (row: TotpRow, code: string): number | undefined =>
    matchTotpStep({ secret: openSecret(row), code, now: clock.now() });

  const refuse = (method: Method, accountId: string, reason: string): { kind: 'wrong' } => {
    currentUnitOfWork()?.record({
      type: 'sign_in.factor_failed',
      outcome: 'failure',
      actor: { kind: 'account', id: accountId },
      accountId,
      payload: { method, reason },
    });
    return { kind: 'wrong' };
  };

  /** Counts the guess before it is judged; forgets the count when it was right. */
  const counted = async <T extends { kind: 'ok' } | { kind: 'wrong' }>(
    method: Method,
    accountId: string,
    judge: () => Promise<T>,
  ): Promise<T | { kind: 'throttled'; retryAfterSeconds: number }> => {
    const key = `${method}:${accountId}`;
    const attempt = await limiter.attempt(key);
    if (attempt.kind === 'throttled') {
      const { retryAfterSeconds } = attempt;
      currentUnitOfWork()?.record({
        type: 'sign_in.throttled',
        outcome: 'failure',
        accountId,
        payload: { method, reason: 'factor', retry_after_seconds: retryAfterSeconds },
      });
      return { kind: 'throttled', retryAfterSeconds };
    }
    try {
      const result = await judge();
      if (result.kind === 'ok') await limiter.reset(key);
      return result;
    } catch (error) {
      // A fault of ours is not a wrong guess; a counter that cannot be reached has told so already.
      await attempt.giveBack().catch(() => {});
      throw error;
    }
  };

  const issueRecoveryCodes = async (tx: Queryable, accountId: string, by: Actor): Promise<string[]> => {
    const key = randomBytes(32);
    const codes = Array.from({ length: recoveryCodeCount }, generateRecoveryCode);
    await replaceRecoveryCodes(tx, {
      accountId,
      key: sealer.seal(key, recoveryContext(accountId)),
      digests: codes.map((code) => recoveryCodeDigest(key, code)),
      now: clock.now(),
    });
    await appendInTransaction(
      tx,
      {
        type: 'factor.recovery_codes_generated',
        outcome: 'success',
        actor: by,
        accountId,
        payload: { count: codes.length },
      },
      { clock },
    );
    return codes;
  };

  const judgeTotp = async ({ accountId }: FactorAttempt, code: string): Promise<{ kind: 'ok' | 'wrong' }> => {
    const row = await findTotp(db, accountId);
    if (!row?.confirmed_at) return refuse('totp', accountId, 'not_enrolled');
    const step = stepOf(row, code);
    if (step === undefined) return refuse('totp', accountId, 'wrong_code');
    const isSpent = await db.transaction(async (tx) => {
      if (!(await spendTotpStep(tx, { totp: row, step }))) return false;
      await appendInTransaction(tx, factorSucceeded(accountId, { method: 'totp' }), { clock });
      return true;
    });
    return isSpent ? { kind: 'ok' } : refuse('totp', accountId, 'code_used_before');
  };

  const judgeRecoveryCode = async (
    { accountId }: FactorAttempt,
    code: string,
  ): Promise<{ kind: 'ok'; remaining: number } | { kind: 'wrong' }> => {
    const sealedKey = await findRecoveryKey(db, accountId);
    if (sealedKey === undefined) return refuse('recovery_code', accountId, 'not_enrolled');
    const digest = recoveryCodeDigest(sealer.open(sealedKey, recoveryContext(accountId)), code);
    const remaining = await db.transaction(async (tx) => {
      if (!(await spendRecoveryCode(tx, { accountId, digest, now: clock.now() }))) return undefined;
      const left = await countRecoveryCodes(tx, accountId);
      const actor: Actor = { kind: 'account', id: accountId };
      await appendInTransaction(
        tx,
        {
          type: 'factor.recovery_code_used',
          outcome: 'success',
          actor,
          accountId,
          payload: { remaining: left },
        },
        { clock },
      );
      await appendInTransaction(
        tx,
        factorSucceeded(accountId, { method: 'recovery_code', remaining: left }),
        { clock },
      );
      return left;
    });
    return remaining === undefined
      ? refuse('recovery_code', accountId, 'wrong_code')
      : { kind: 'ok', remaining };
  };

  const judgeEnrolment = async (
    { accountId }: FactorAttempt,
    code: string,
  ): Promise<{ kind: 'ok'; recoveryCodes: string[] } | { kind: 'wrong' }> => {
    const row = await findTotp(db, accountId);
    if (!row) throw new AppError('totp_not_begun', 409, 'There is no enrolment to confirm. Begin again.');
    if (row.confirmed_at) throw alreadyEnrolled();
    const step = stepOf(row, code);
    if (step === undefined) return refuse('totp', accountId, 'wrong_code');
    const by: Actor = { kind: 'account', id: accountId };
    return db.transaction(async (tx) => {
      const isFirst = await confirmTotpStep(tx, { totp: row, step, now: clock.now() });
      if (!isFirst) throw alreadyEnrolled();
      await appendInTransaction(
        tx,
        { type: 'factor.totp_enrolled', outcome: 'success', actor: by, accountId, payload: {} },
        { clock },
      );
      return { kind: 'ok', recoveryCodes: await issueRecoveryCodes(tx, accountId, by) };
    });
  };

  return {
    hasTotp: async (accountId) => Boolean((await findTotp(db, accountId))?.confirmed_at),
    beginTotpEnrolment: async (accountId) => {
      const account = await findAccountById(db, accountId);
      if (!account) throw accountNotFound();
      const now = clock.now();
      const row = await insertTotpUnlessFresh(db, {
        accountId,
        secret: sealer.seal(generateTotpSecret(), totpContext(accountId)),
        now,
        staleBefore: new Date(now.getTime() - ENROLMENT_MINUTES * 60_000),
      });
      if (row.confirmed_at) throw alreadyEnrolled();
      const secret = openSecret(row);
      return { secret, otpauthUri: totpUri({ secret, issuerName, label: account.email }) };
    },
    confirmTotp: async (attempt) => {
      const code = parseTotpCode(attempt.code);
      if (code === undefined) return { kind: 'malformed' };
      return counted('totp', attempt.accountId, () => judgeEnrolment(attempt, code));
    },
    verifyTotp: async (attempt) => {
      const code = parseTotpCode(attempt.code);
      if (code === undefined) return { kind: 'malformed' };
      return counted('totp', attempt.accountId, () => judgeTotp(attempt, code));
    },
    verifyRecoveryCode: async (attempt) => {
      const code = parseRecoveryCode(attempt.code);
      if (code === undefined) return { kind: 'malformed' };
      return counted('recovery_code', attempt.accountId, () => judgeRecoveryCode(attempt, code));
    },
    remainingRecoveryCodes: (accountId) => countRecoveryCodes(db, accountId),
    regenerateRecoveryCodes: (accountId, by) =>
      db.transaction(async (tx) => {
        // The account's lock: of two at once, the later one's codes hold, whole.
        await lockAccount(tx, accountId);
        if (!(await findTotp(tx, accountId))?.confirmed_at) {
          throw new AppError('totp_not_enrolled', 409, 'Recovery codes come with an authenticator app.');
        }
        return issueRecoveryCodes(tx, accountId, by);
      }),
    resetFactors: async (accountId, by) => {
      if (!(await findAccountById(db, accountId))) throw accountNotFound();
      await db.transaction(async (tx) => {
        const account = await lockAccount(tx, accountId);
        if (!account) throw accountNotFound();
        const removed = await deleteFactors(tx, accountId);
        await endEverything(tx, {
          sub: account.sub,
          reason: 'factors_reset',
          now: clock.now(),
          longestTokenSeconds,
        });
        await appendInTransaction(
          tx,
          {
            type: 'factor.reset',
            outcome: 'success',
            actor: by,
            accountId,
            payload: {
              removed: [
                ...(removed.totp > 0 ? ['totp'] : []),
                ...(removed.recoveryCodes > 0 ? ['recovery_codes'] : []),
              ],
            },
          },
          { clock },
        );
      });
    },
  };
}

function factorSucceeded(
  accountId: string,
  payload: { method: Method; remaining?: number },
): Parameters<typeof appendInTransaction>[1] {
  return {
    type: 'sign_in.factor_succeeded',
    outcome: 'success',
    actor: { kind: 'account', id: accountId },
    accountId,
    payload,
  };
}

function alreadyEnrolled(): AppError {
  return new AppError(
    'totp_already_enrolled',
    409,
    'An authenticator app is set up for this account already.',
  );
}
