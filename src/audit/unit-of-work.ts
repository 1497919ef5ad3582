import { AsyncLocalStorage } from 'node:async_hooks';

import { currentRequest } from '../platform/request-context.ts';
import type { Batch, LiveSubject, Spend } from './batch.ts';
import { isSpendConflict } from './errors.ts';
import type { AuditEvent } from './events.ts';
import type { Revocation } from './revocations.ts';

/**
 * What one request records, spends and revokes, gathered while it is served and made durable before its response
 * leaves. What it did elsewhere (Redis) is undone when the record cannot be written.
 */
export interface UnitOfWork {
  record: (event: AuditEvent) => void;
  /** The same for what was so before the request did anything: giving up what was gathered leaves it for a commit. */
  recordLasting: (event: AuditEvent) => void;
  /** Judged in the flush. `onConflict` runs when this credential turns out to be spent, before the rollbacks, and
   * learns which attempt it was (`spendId`). */
  spend: (credential: Spend & { onConflict?: (by: string) => void }) => void;
  revoke: (revocation: Revocation) => void;
  /** The flush refuses when one of these has been revoked. */
  requireLive: (subject: LiveSubject) => void;
  /** State that has to be there before the record is: at the commit, all of it in one go. Undone where that fails. */
  stage: (state: StagedState) => void;
  /** Of a request that is refused: what it spent and revoked counts, what it was to receive does not. */
  dropStaged: () => void;
  /** After the record is durable, before the response leaves, in the order given. A failure is reported, not thrown. */
  onCommit: (work: () => Promise<void>) => void;
  /** The record was not written: undo, latest first. What fails is tried again later, so it must be idempotent. */
  onRollback: (work: () => Promise<void>) => void;
  /**
   * Writes what was gathered since the last commit; does nothing when that is nothing. Afterwards the unit of work is
   * empty, whatever the outcome, so a refusal can be recorded and committed after a conflict.
   *
   * @throws AuditUnavailable (503), SpendConflict or RevokedConflict (400): see errors.ts; what a `stage`d write threw
   */
  commit: () => Promise<void>;
  /** Gives up what was gathered, but for lasting events: runs the rollbacks, writes nothing. */
  rollback: () => Promise<void>;
  isEmpty: () => boolean;
  /** Whether the log will tell, or tells already, of this request. */
  isOnRecord: () => boolean;
}

export interface StagedState {
  write: () => Promise<void>;
  /** As with `onRollback`; also where the write itself failed, for nobody knows how far it came. */
  undo: () => Promise<void>;
}

/** The part of the log that a unit of work needs. */
interface BatchWriter {
  write: (batch: Batch) => Promise<void>;
  undoLater: (work: () => Promise<void>) => void;
  reportError: (error: unknown, message: string) => void;
}

interface Gathered {
  events: AuditEvent[];
  spent: (Spend & { onConflict?: (by: string) => void })[];
  revocations: Revocation[];
  requireLive: LiveSubject[];
  staged: StagedState[];
  onCommit: (() => Promise<void>)[];
  onRollback: (() => Promise<void>)[];
}

const storage = new AsyncLocalStorage<UnitOfWork>();

export function currentUnitOfWork(): UnitOfWork | undefined {
  return storage.getStore();
}

/** Runs `work` with a fresh unit of work, which it must commit itself: only it knows when the response leaves. */
export function runInUnitOfWork<T>(log: BatchWriter, work: (unit: UnitOfWork) => T): T {
  const unit = createUnitOfWork(log);
  return storage.run(unit, () => work(unit));
}

function createUnitOfWork(log: BatchWriter): UnitOfWork {
  let gathered = nothing();
  let committing: Promise<void> | undefined;
  let hasWritten = false;
  const lasting = new WeakSet<AuditEvent>();

  const isEmpty = (): boolean =>
    gathered.events.length === 0 &&
    gathered.spent.length === 0 &&
    gathered.revocations.length === 0 &&
    gathered.requireLive.length === 0;

  const runAfterCommit = async ({ onCommit }: Gathered): Promise<void> => {
    for (const work of onCommit) {
      try {
        await work();
      } catch (error) {
        log.reportError(error, 'A step that follows a durable record failed');
      }
    }
  };

  const undo = async ({ onRollback }: Gathered): Promise<void> => {
    for (const work of onRollback.toReversed()) {
      try {
        await work();
      } catch (error) {
        log.reportError(error, 'Undoing what could not be recorded failed and is tried again');
        log.undoLater(work);
      }
    }
  };

  const writeStaged = async (batch: Gathered): Promise<void> => {
    batch.onRollback.push(...batch.staged.map(({ undo: undoOne }) => undoOne));
    // All have come to an end before anything is undone.
    const outcomes = await Promise.allSettled(batch.staged.map(({ write }) => write()));
    const failed = outcomes.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined;
    if (!failed) return;
    await undo(batch);
    throw failed.reason;
  };

  const commitOnce = async (): Promise<void> => {
    const batch = gathered;
    const isNothingToWrite = isEmpty();
    gathered = nothing();
    if (batch.staged.length > 0) await writeStaged(batch);
    if (!isNothingToWrite) {
      try {
        const request = currentRequest();
        await log.write({
          events: batch.events,
          spent: batch.spent,
          revocations: batch.revocations,
          requireLive: batch.requireLive,
          requestId: request?.requestId,
          ip: request?.ip,
          userAgent: request?.userAgent,
        });
        hasWritten = true;
      } catch (error) {
        if (isSpendConflict(error)) tellConflict(batch, error.cause);
        await undo(batch);
        throw error;
      }
    }
    await runAfterCommit(batch);
  };

  const tellConflict = (batch: Gathered, lost: Spend & { by: string }): void => {
    for (const spend of batch.spent.filter(({ digest }) => digest === lost.digest)) {
      try {
        spend.onConflict?.(lost.by);
      } catch (error) {
        log.reportError(error, 'Handling a spent credential failed');
      }
    }
  };

  return {
    record: (event) => gathered.events.push(event),
    recordLasting: (event) => {
      lasting.add(event);
      gathered.events.push(event);
    },
    spend: (credential) => gathered.spent.push(credential),
    revoke: (revocation) => gathered.revocations.push(revocation),
    requireLive: (subject) => gathered.requireLive.push(subject),
    stage: (state) => gathered.staged.push(state),
    dropStaged: () => {
      gathered.staged = [];
    },
    onCommit: (work) => gathered.onCommit.push(work),
    onRollback: (work) => gathered.onRollback.push(work),
    isEmpty,
    isOnRecord: () => hasWritten || gathered.events.length > 0,
    commit: async () => {
      if (committing) await committing;
      committing = commitOnce().finally(() => {
        committing = undefined;
      });
      await committing;
    },
    rollback: async () => {
      const batch = gathered;
      gathered = { ...nothing(), events: batch.events.filter((event) => lasting.has(event)) };
      await undo(batch);
    },
  };
}

function nothing(): Gathered {
  return {
    events: [],
    spent: [],
    revocations: [],
    requireLive: [],
    staged: [],
    onCommit: [],
    onRollback: [],
  };
}
