import type { Actor } from '../audit/events.ts';

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
  confirmTotp: (attempt: {
    accountId: string;
    code: string;
    address: string;
  }) => Promise<{ kind: 'ok'; recoveryCodes: string[] } | FactorRefusal>;
  /** RFC 6238 §5.2: each step is accepted once. */
  verifyTotp: (attempt: {
    accountId: string;
    code: string;
    address: string;
  }) => Promise<{ kind: 'ok' } | FactorRefusal>;
  verifyRecoveryCode: (attempt: {
    accountId: string;
    code: string;
    address: string;
  }) => Promise<{ kind: 'ok'; remaining: number } | FactorRefusal>;
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
