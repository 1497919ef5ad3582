import { AppError } from '../platform/errors.ts';

/** The record could not be written: nothing was issued, and the same request may succeed soon. */
export function auditUnavailable(cause?: unknown): AppError {
  return new AppError(
    'temporarily_unavailable',
    503,
    'The service cannot record this request now. Try again.',
    {
      ...(cause === undefined ? {} : { cause }),
      retryAfterSeconds: 1,
    },
  );
}

/** The credential of this batch was spent by another request. Nothing of the batch was written. */
export function spendConflict(spend: { kind: string; digest: string }): AppError {
  return new AppError('credential_spent', 400, 'This has been used already.', { cause: spend });
}

/** What this batch builds upon has been revoked. Nothing of the batch was written. */
export function revokedConflict(subject: { kind: string; id: string }): AppError {
  return new AppError('revoked', 400, 'This has been revoked.', { cause: subject });
}

export function isAuditUnavailable(error: unknown): error is AppError {
  return error instanceof AppError && error.code === 'temporarily_unavailable';
}

export function isSpendConflict(error: unknown): error is AppError {
  return error instanceof AppError && error.code === 'credential_spent';
}

export function isRevokedConflict(error: unknown): error is AppError {
  return error instanceof AppError && error.code === 'revoked';
}
