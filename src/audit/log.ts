import { createSecretKey } from 'node:crypto';

import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { keyedDigest } from '../platform/ids.ts';
import { prepareBatch, type Batch } from './batch.ts';
import type { WriterHooks } from './flusher.ts';
import { ensurePartitions } from './partitions.ts';
import { exportEvents, listEvents, type AuditFilter, type AuditPage, type AuditRecord } from './query.ts';
import type { Revocation } from './revocations.ts';
import { verifyChain, type VerifyOptions, type VerifyResult } from './verify.ts';
import { createUndoQueue } from './undo-queue.ts';
import { createWriter } from './writer.ts';

/*
 * The audit folder owns what happened (audit_events, one hash chain for all processes) and what must be final and is
 * therefore judged in the transaction that records it: what has been spent (spent) and what has been revoked
 * (revocations).
 *
 * Invariants:
 * - Nothing is issued before its record is durable: a request's unit of work (unit-of-work.ts) is written whole, or
 *   refused and undone.
 * - A credential is spent once, in any process, also where Redis forgot (judge.ts, settlement.ts).
 * - Rows are never changed, except that they are linked once and that personal details can be erased (erasure.ts).
 * - Subjects append in their own transactions (append.ts) and never take the chain head's lock.
 *
 * Elsewhere: who records what (the subjects and oidc/), when checkpoints and removals run (jobs/), how the log is shown
 * (cli/, admin/).
 */

const MAX_QUEUED_BATCHES = 10_000;
const PARTITIONS_FIRST_AFTER_MS = 2_000;
const PARTITIONS_EVERY_MS = 6 * 60 * 60 * 1_000;

export interface AuditLog {
  /**
   * Writes what one request gathered, whole or not at all; resolves when it is durable.
   *
   * @throws AuditUnavailable, SpendConflict, RevokedConflict (errors.ts); Error for a payload that no schema allows
   */
  write: (batch: Batch) => Promise<void>;
  /** What stands in the log for a secret that was issued: a keyed hash, which nobody can test a guess against. */
  fingerprint: (secret: string) => string;
  /** The newest events that match, newest last. @throws AppError `invalid_filter` */
  list: (
    filter?: AuditFilter & { limit?: number | undefined; before?: string | undefined },
  ) => Promise<AuditPage>;
  /** Everything that matches, oldest first. */
  export: (filter?: AuditFilter) => AsyncIterable<AuditRecord>;
  verify: (options?: VerifyOptions) => Promise<VerifyResult>;
  /** Links what subjects have appended so far. Happens by itself each second. */
  link: () => Promise<void>;
  /** Takes back what a refused request did elsewhere, as soon as that is possible again (undo-queue.ts). */
  undoLater: (work: () => Promise<void>) => void;
  /** Tries at once what waits to be undone. Never throws. */
  undoNow: () => Promise<void>;
  /** For failures that must not reach the client, such as a step after the commit. */
  reportError: (error: unknown, message: string) => void;
  /** Writes what is under way, then stops. Afterwards every batch is refused. */
  close: () => Promise<void>;
}

export interface AuditLogOptions {
  db: Database;
  clock: Clock;
  /** `sealer.deriveKey('audit-fingerprint')` */
  fingerprintKey: Buffer;
  logger?: { error: (details: object, message: string) => void } | undefined;
  /** How long a request waits for its record before it is refused. */
  commitTimeoutMs?: number;
  maxQueuedBatches?: number;
  onFlush?: WriterHooks['onFlush'];
  onFailure?: WriterHooks['onFailure'];
  /** Told of revocations as soon as they are durable: `RevocationList.add`, so that this process never lags. */
  onRevoked?: ((revocation: Revocation) => void) | undefined;
}

export function createAuditLog({
  db,
  clock,
  fingerprintKey,
  logger,
  commitTimeoutMs = 5_000,
  maxQueuedBatches = MAX_QUEUED_BATCHES,
  onFlush,
  onFailure,
  onRevoked,
}: AuditLogOptions): AuditLog {
  const reportError = (error: unknown, message: string): void => logger?.error({ err: error }, message);
  const fingerprintSecret = createSecretKey(fingerprintKey);
  const undo = createUndoQueue({ reportError });
  const writer = createWriter({
    db,
    clock,
    commitTimeoutMs,
    maxQueuedBatches,
    hooks: {
      onFlush,
      onFailure: (error) => {
        reportError(error, 'The audit log could not be written');
        onFailure?.(error);
      },
    },
  });

  const makePartitions = (): void => {
    ensurePartitions(db, clock.now()).catch((error: unknown) =>
      reportError(error, 'Partitions of the audit log could not be made ahead of time'),
    );
  };
  const first = setTimeout(makePartitions, PARTITIONS_FIRST_AFTER_MS).unref();
  const later = setInterval(makePartitions, PARTITIONS_EVERY_MS).unref();

  return {
    write: async (batch) => {
      await writer.write(prepareBatch(batch, clock.now()));
      if (onRevoked) for (const revocation of batch.revocations) onRevoked(revocation);
    },
    fingerprint: (secret) => keyedDigest(fingerprintSecret, secret),
    list: (filter = {}) => listEvents(db, filter),
    export: (filter) => exportEvents(db, filter),
    verify: (options) => verifyChain(db, options),
    link: writer.link,
    undoLater: undo.add,
    undoNow: undo.retry,
    reportError,
    close: async () => {
      clearTimeout(first);
      clearInterval(later);
      await undo.close();
      await writer.close();
    },
  };
}
