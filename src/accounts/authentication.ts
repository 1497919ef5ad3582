import type { Account } from './account.ts';

export interface PasswordAttempt {
  /** E-mail address or user name, as typed. */
  identifier: string;
  password: string;
  /** The client's IP address. */
  address: string;
  /** The device cookie's value, where the browser sent one. */
  deviceId?: string;
}

export type PasswordResult =
  /** `deviceId` is the new value of the device cookie: keep it for a year, HttpOnly. */
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
