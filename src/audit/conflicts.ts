import { AppError } from '../platform/errors.ts';

/**
 * Why a batch was not written. In each case nothing of it was: no event, no spend, no revocation.
 */

/** The record could not be written (503): nothing was issued, and the same request may succeed soon. */
export class AuditUnavailable extends AppError {
  constructor(cause?: unknown) {
    super('temporarily_unavailable', 503, 'The service cannot record this request now. Try again.', {
      ...(cause === undefined ? {} : { cause }),
      retryAfterSeconds: 1,
    });
    this.name = 'AuditUnavailable';
  }
}

/** The credential was spent by another request, now or long ago. */
export class SpendConflict extends AppError {
  readonly kind: string;
  readonly digest: string;
  /** Of this batch's credential, where the caller named it. */
  readonly grantId: string | undefined;

  constructor({ kind, digest, grantId }: { kind: string; digest: string; grantId?: string | undefined }) {
    super('credential_spent', 400, 'This has been used already.');
    this.name = 'SpendConflict';
    this.kind = kind;
    this.digest = digest;
    this.grantId = grantId;
  }
}

/** What the batch builds upon has been revoked. */
export class RevokedConflict extends AppError {
  readonly kind: 'grant' | 'session' | 'account';
  readonly id: string;

  constructor({ kind, id }: { kind: 'grant' | 'session' | 'account'; id: string }) {
    super('revoked', 400, 'This has been revoked.');
    this.name = 'RevokedConflict';
    this.kind = kind;
    this.id = id;
  }
}
