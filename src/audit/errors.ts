import { AppError } from '../platform/errors.ts';
import type { Spend } from './batch.ts';

/**
 * Why a batch was not written. In each case nothing of it counts: no event, no spend, no revocation.
 */

export type AuditUnavailable = AppError & { code: 'temporarily_unavailable' };
/** `cause` is the credential of this batch that was spent before, and `by` names the attempt that counted. */
export type SpendConflict = AppError & { code: 'credential_spent'; cause: Spend & { by: string } };
/** `cause` is what has been revoked. */
export type RevokedConflict = AppError & { code: 'revoked'; cause: RevokedSubject };

export interface RevokedSubject {
  kind: 'grant' | 'session' | 'account' | 'account_sessions' | 'client' | 'consent';
  id: string;
}

/** The record could not be written (503): nothing was issued, and the same request may succeed soon. */
export function auditUnavailable(cause?: unknown): AuditUnavailable {
  return new AppError(
    'temporarily_unavailable',
    503,
    'The service cannot record this request now. Try again.',
    {
      ...(cause === undefined ? {} : { cause }),
      retryAfterSeconds: 1,
    },
  ) as AuditUnavailable;
}

/** The credential was spent by another request, now or long ago. */
export function spendConflict(spend: Spend, by: string): SpendConflict {
  return new AppError('credential_spent', 400, 'This has been used already.', {
    cause: { ...spend, by },
  }) as SpendConflict;
}

/** What the batch builds upon has been revoked. */
export function revokedConflict(subject: RevokedSubject): RevokedConflict {
  return new AppError('revoked', 400, 'This has been revoked.', { cause: subject }) as RevokedConflict;
}

export function isAuditUnavailable(error: unknown): error is AuditUnavailable {
  return error instanceof AppError && error.code === 'temporarily_unavailable';
}

export function isSpendConflict(error: unknown): error is SpendConflict {
  return error instanceof AppError && error.code === 'credential_spent';
}

export function isRevokedConflict(error: unknown): error is RevokedConflict {
  return error instanceof AppError && error.code === 'revoked';
}
