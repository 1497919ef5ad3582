/**
 * Accounts: the people who sign in, and what they prove themselves with.
 *
 * This folder owns the tables `accounts`, `totp`, `recovery_codes` and `recovery_keys`, the rules for e-mail addresses,
 * user names and passwords, the hashing processes, and the throttling of guesses. It holds that
 *  - an attempt to sign in tells a stranger nothing about which accounts exist: same text, same work (authentication.ts);
 *  - a TOTP step and a recovery code are spent once (factors.ts);
 *  - every change appends its audit event in its own transaction, and what ends an account's sessions writes the
 *    revocation there too (service.ts).
 *
 * Elsewhere: roles (rbac/), sessions and grants (oidc/), the pages (interaction/).
 */
import type { Actor } from '../audit/events.ts';
import { AppError } from '../platform/errors.ts';

/** A person. Carries no credential: those never leave this folder. */
export interface Account {
  /** UUIDv7; tells when the account was made, so only for operators and the audit log. */
  id: string;
  /** What relying parties know the person by (OIDC Core §2): random, opaque, never reused. */
  sub: string;
  /** As it was given, in NFC. */
  email: string;
  emailVerified: boolean;
  username?: string;
  name?: string;
  hasPassword: boolean;
  disabledAt?: Date;
  createdAt: Date;
  updatedAt: Date;
}

export interface NewAccount {
  email: string;
  emailVerified?: boolean;
  username?: string;
  name?: string;
  /** Without one the account cannot sign in by password until an operator sets it. */
  password?: string;
  /** Imported from another provider; generated otherwise. At most 255 ASCII characters (OIDC Core §2). */
  sub?: string;
}

export interface AccountService {
  /**
   * @throws AppError 422 `email_invalid`, `username_invalid`, `sub_invalid`, `password_too_short`, `password_too_long`,
   *   `password_unusable`, `password_common`; 409 `email_taken`, `username_taken`, `sub_taken`; 503 `hashing_busy`
   */
  create: (input: NewAccount, by: Actor) => Promise<Account>;
  /** @throws AppError 404 `account_not_found` */
  get: (id: string) => Promise<Account>;
  findById: (id: string) => Promise<Account | undefined>;
  findBySub: (sub: string) => Promise<Account | undefined>;
  /** By e-mail address or user name, as typed. For operators; signing in goes through authentication.ts. */
  findByLogin: (identifier: string) => Promise<Account | undefined>;
  /** Oldest first. `query` is a part of the e-mail address, user name or name; `after` the id that ended the last page. */
  list: (options?: { query?: string; limit?: number; after?: string }) => Promise<Account[]>;
  /**
   * Ends every session and token of the account. Does nothing to one that is disabled already.
   *
   * @throws AppError 404 `account_not_found`, 409 `last_administrator` unless `force`
   */
  disable: (id: string, by: Actor, options?: { force?: boolean }) => Promise<Account>;
  /** @throws AppError 404 `account_not_found` */
  enable: (id: string, by: Actor) => Promise<Account>;
  /**
   * Ends every session and token too: whoever knew the old password is signed out.
   *
   * @throws AppError as `create` does for passwords, 404 `account_not_found`
   */
  setPassword: (id: string, password: string, by: Actor) => Promise<Account>;
}

export function accountNotFound(): AppError {
  return new AppError('account_not_found', 404, 'There is no such account.');
}
