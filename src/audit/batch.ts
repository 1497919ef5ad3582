import { uuidv7 } from '../platform/ids.ts';
import type { AuditEvent } from './events.ts';
import type { Revocation } from './revocations.ts';
import { buildRow, type EventRow } from './row.ts';

/** A single-use credential that the request consumed. One digest is spent once, in any process, for ever. */
export interface Spend {
  /** `authorization_code`, `refresh_token`, … */
  kind: string;
  digest: string;
  /** When the credential would have expired anyway; kept until then. */
  expiresAt: Date;
  grantId?: string | undefined;
  /** Names this attempt, a UUID: who meets a conflict learns which attempt it was that counted. Else made here. */
  spendId?: string | undefined;
}

/** What must not have been revoked for the batch to be written. */
export interface LiveSubject {
  grantId?: string | undefined;
  sessionUid?: string | undefined;
  accountId?: string | undefined;
  clientId?: string | undefined;
  consent?: string | undefined;
  /** When what the request builds upon was issued: compared with `before` of a revocation that has one. */
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

/** A batch ready to be written: rows built, ids given. */
export interface PreparedBatch {
  rows: readonly EventRow[];
  spent: readonly (Spend & { spendId: string })[];
  revocations: readonly (Revocation & { rowId: string })[];
  requireLive: readonly LiveSubject[];
  requestId: string | undefined;
}

/** @throws Error when an event's payload is not what the schema of its type allows */
export function prepareBatch(batch: Batch, now: Date): PreparedBatch {
  const distinct = new Map(batch.spent.map((spend) => [spend.digest, spend]));
  return {
    rows: batch.events.map((event) => buildRow(event, batch, now)),
    spent: [...distinct.values()].map(({ kind, digest, expiresAt, grantId, spendId }) => ({
      kind,
      digest,
      expiresAt,
      grantId,
      spendId: spendId ?? uuidv7(now),
    })),
    revocations: batch.revocations.map(({ kind, id, before, expiresAt, reason }) => ({
      kind,
      id,
      before,
      expiresAt,
      reason,
      rowId: uuidv7(now),
    })),
    requireLive: batch.requireLive,
    requestId: batch.requestId,
  };
}
