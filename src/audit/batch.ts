import type { AuditEvent } from './events.ts';
import type { Revocation } from './revocations.ts';

/** A single-use credential that the request consumed. One digest is spent once, in any process, for ever. */
export interface Spend {
  /** `authorization_code`, `refresh_token`, … */
  kind: string;
  digest: string;
  /** When the credential would have expired anyway; kept until then. */
  expiresAt: Date;
  grantId?: string | undefined;
}

/** What must not have been revoked for the batch to be written. */
export interface LiveSubject {
  grantId?: string | undefined;
  sessionUid?: string | undefined;
  accountId?: string | undefined;
  /** When what the request builds upon was issued: compared with `before` of an account's revocation. */
  issuedAt: Date;
}

/** All that one request wants durable: written whole or not at all. */
export interface Batch {
  events: readonly AuditEvent[];
  spent: readonly Spend[];
  revocations: readonly Revocation[];
  requireLive: readonly LiveSubject[];
  requestId?: string | undefined;
  ip?: string | undefined;
  userAgent?: string | undefined;
}
