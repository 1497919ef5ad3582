import { setImmediate as turnOfTheEventLoop } from 'node:timers/promises';

import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import type { PreparedBatch } from './batch.ts';
import { auditUnavailable, revokedConflict, spendConflict } from './errors.ts';
import { createFlusher, type Pending, type WriterHooks } from './flusher.ts';
import type { Verdict } from './judge.ts';
import { createLine } from './line.ts';

/*
 * The one writer of a process: group commit. One flush at a time on one connection; the next takes everything that has
 * gathered meanwhile, so under load a commit carries hundreds of batches. When PostgreSQL cannot be reached the circuit
 * opens: what waits is refused, what comes is refused at once, and a probe closes the circuit as soon as the database
 * answers and lends the chain's head. How a flush is judged is in judge.ts; how one of unknown outcome is settled, in
 * settlement.ts.
 */

const MAX_BATCHES_PER_FLUSH = 500;
/** At most so long, and so many turns in which nothing came. */
const GATHER_FOR_MS = 2;
const IDLE_TURNS = 3;
const MAX_LINKS_PER_FLUSH = 500;
/** Rows that wait for a link are looked for at most this often while flushes follow one another. */
const LINK_INTERVAL_MS = 100;
const IDLE_INTERVAL_MS = 1_000;
const PROBE_INTERVAL_MS = 250;
/** After this much silence the outcome of the last flush is told to other processes in a statement of its own. */
const SETTLE_AFTER_MS = 25;
const UNDECIDED_RETRY_MS = 50;
const UNDECIDED_WAIT_MS = 3_000;

interface Writer {
  /** Resolves when the batch is durable. @throws see errors.ts */
  write: (batch: PreparedBatch) => Promise<void>;
  /** Links what subjects have appended, now. */
  link: () => Promise<void>;
  /** Writes what has gathered, then lets go of the connection. */
  close: () => Promise<void>;
}

export function createWriter({
  db,
  clock,
  commitTimeoutMs,
  maxQueuedBatches,
  hooks,
}: {
  db: Database;
  clock: Clock;
  commitTimeoutMs: number;
  maxQueuedBatches: number;
  hooks: WriterHooks;
}): Writer {
  const line = createLine(db);
  const flusher = createFlusher({ line, clock, commitTimeoutMs, hooks });
  let queue: Pending[] = [];
  let isCircuitOpen = false;
  let isClosed = false;
  let isDraining = false;
  let lastError: unknown;
  let lastLinkAt = -Infinity;
  let turn: Promise<unknown> = Promise.resolve();
  let probe: NodeJS.Timeout | undefined;
  let settling: NodeJS.Timeout | undefined;

  const report = (error: unknown): void => hooks.onFailure?.(error);

  /** Everything that uses the line, one after the other. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = turn.then(work);
    turn = result.catch(() => {});
    return result;
  };

  const openCircuit = (error: unknown): void => {
    report(error);
    lastError = error;
    isCircuitOpen = true;
    line.drop();
    const refused = queue;
    queue = [];
    for (const pending of refused) pending.refuse(error);
    probeLater();
  };

  const probeLater = (): void => {
    if (isClosed || probe) return;
    probe = setTimeout(() => {
      probe = undefined;
      void inTurn(tryToRecover);
    }, PROBE_INTERVAL_MS);
    probe.unref();
  };

  const tryToRecover = async (): Promise<void> => {
    try {
      queue.unshift(...(await flusher.recover()));
      isCircuitOpen = false;
      settleLater();
      drain();
    } catch (error) {
      lastError = error;
      line.drop();
      probeLater();
    }
  };

  const flush = async (pending: readonly Pending[], linkLimit: number): Promise<void> => {
    try {
      const { again, unavailable } = await flusher.flush(pending, linkLimit);
      queue.unshift(...again);
      if (unavailable) openCircuit(unavailable.error);
    } catch (error) {
      report(error);
      for (const each of pending) each.refuse(error);
    }
  };

  let carriedLast = 0;

  /**
   * Lets join what comes in these moments: a flush costs much the same for one batch and for twenty. Goes on for as
   * long as each turn of the event loop brings more, and waits a few turns for as many as came along the last time.
   */
  const gather = async (): Promise<void> => {
    const until = performance.now() + GATHER_FOR_MS;
    let idleTurns = 0;
    do {
      const before = queue.length;
      await turnOfTheEventLoop();
      idleTurns = queue.length > before ? 0 : idleTurns + 1;
    } while (performance.now() < until && idleTurns <= (queue.length < carriedLast ? IDLE_TURNS : 0));
    carriedLast = queue.length;
  };

  const flushGathered = async (): Promise<void> => {
    for (;;) {
      if (queue.length > 0) await gather();
      if (queue.length === 0 || isCircuitOpen) return;
      const isLinkDue = performance.now() - lastLinkAt >= LINK_INTERVAL_MS;
      if (isLinkDue) lastLinkAt = performance.now();
      await flush(queue.splice(0, MAX_BATCHES_PER_FLUSH), isLinkDue ? MAX_LINKS_PER_FLUSH : 0);
    }
  };

  /** Starts flushing unless that is under way. */
  const drain = (): void => {
    if (isDraining || isCircuitOpen || queue.length === 0) return;
    isDraining = true;
    clearTimeout(settling);
    settling = undefined;
    void inTurn(flushGathered).finally(() => {
      isDraining = false;
      settleLater();
      drain();
    });
  };

  const settleLater = (): void => {
    if (isClosed || isCircuitOpen || settling || flusher.isSettled()) return;
    settling = setTimeout(() => {
      settling = undefined;
      inTurn(flusher.settle).catch(report);
    }, SETTLE_AFTER_MS);
    settling.unref();
  };

  /** Most of the time there is nothing to link: one look without any lock. */
  const link = async (): Promise<void> => {
    if (isCircuitOpen) return;
    const { rows } = await db.query('select from audit_events where seq is null limit 1');
    line.noteAnswer();
    if (rows.length > 0)
      await inTurn(() => (isCircuitOpen ? Promise.resolve() : flush([], MAX_LINKS_PER_FLUSH)));
  };

  const idle = setInterval(() => {
    link().catch(report);
  }, IDLE_INTERVAL_MS);
  idle.unref();

  const enqueue = (pending: Pending): void => {
    if (isCircuitOpen || isClosed) return pending.refuse(lastError ?? new Error('The audit log is closed'));
    if (queue.length >= maxQueuedBatches)
      return pending.refuse(new Error(`${maxQueuedBatches} batches are waiting already`));
    queue.push(pending);
    return drain();
  };

  const write = (batch: PreparedBatch): Promise<void> =>
    new Promise((resolve, reject) => {
      const start = performance.now();
      const pending: Pending = {
        batch,
        refuse: (error) => reject(auditUnavailable(error)),
        answer: (verdict: Verdict) => {
          switch (verdict.kind) {
            case 'accepted':
              return resolve();
            case 'spent':
              return reject(spendConflict(verdict.spend, verdict.by));
            case 'revoked':
              return reject(revokedConflict(verdict.subject));
            case 'undecided':
              if (performance.now() - start > UNDECIDED_WAIT_MS)
                return pending.refuse(
                  new Error('Another process has not settled the spend of this credential'),
                );
              setTimeout(() => enqueue(pending), UNDECIDED_RETRY_MS);
              return undefined;
          }
        },
      };
      enqueue(pending);
    });

  return {
    write,
    link,
    close: async () => {
      isClosed = true;
      clearInterval(idle);
      clearTimeout(probe);
      clearTimeout(settling);
      if (flusher.hasUnknown()) {
        const lost = await inTurn(flusher.recover).catch((error: unknown) => report(error));
        queue.unshift(...(lost ?? []));
        isCircuitOpen = lost === undefined;
      }
      await inTurn(flushGathered);
      await inTurn(flusher.settle).catch(report);
      await line.close().catch(report);
    },
  };
}
