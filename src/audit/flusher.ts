import type { Clock } from '../platform/clock.ts';
import type { Connection } from '../platform/connection.ts';
import { isDatabaseUnavailable } from '../platform/database.ts';
import { uuidv7 } from '../platform/ids.ts';
import type { PreparedBatch } from './batch.ts';
import { flushAtOnce } from './flush-at-once.ts';
import { begin, beginAndRead, writeAndCommit, type CommitOutcome } from './flush.ts';
import { judge, type SpentFact, type Verdict } from './judge.ts';
import type { Line } from './line.ts';
import {
  createUnknownFlush,
  isDurable,
  ORPHAN_AFTER_MS,
  settle,
  SOUND_CONNECTION_MS,
  takeBack,
  type UnknownFlush,
} from './settlement.ts';

/*
 * Flushes what it is given, one call at a time (the writer takes care of that), and knows what to do with each way in
 * which a transaction can end: committed, failed for all, failed for one bad batch, or lost without an answer.
 */

const RECOVERY_TIMEOUT_MS = 1_000;
/** With less than this left the requests are refused before anything could be found out. */
const RECOVERY_MARGIN_MS = 50;

export interface WriterHooks {
  onFlush?: ((flush: { batches: number; events: number; durationMs: number }) => void) | undefined;
  onFailure?: ((error: unknown) => void) | undefined;
}

/** A batch whose request waits. Only the first answer counts. */
export interface Pending {
  batch: PreparedBatch;
  answer: (verdict: Verdict) => void;
  refuse: (error: unknown) => void;
}

interface FlushResult {
  /** Known not to have been written by a transaction that was lost: to be flushed again. */
  again: readonly Pending[];
  /** Set when the database cannot be reached; everything given has been refused, or is refused in time. */
  unavailable?: { error: unknown };
}

interface Flusher {
  /** Writes the batches, and links up to `linkLimit` rows that subjects appended. */
  flush: (pending: readonly Pending[], linkLimit: number) => Promise<FlushResult>;
  /** Proves that the head can be locked, and settles what is unknown. @throws when either cannot be done */
  recover: () => Promise<readonly Pending[]>;
  hasUnknown: () => boolean;
  /** Whether other processes must still be told of the outcome of the last flush. */
  isSettled: () => boolean;
  settle: () => Promise<void>;
}

interface Attempt {
  outcome: CommitOutcome;
  verdicts: Verdict[];
  flush: number;
  events: number;
}

type Unknown = UnknownFlush & { pending: readonly Pending[]; isRefused: boolean; timer: NodeJS.Timeout };

const DONE: FlushResult = { again: [] };

export function createFlusher({
  line,
  clock,
  commitTimeoutMs,
  hooks,
}: {
  line: Line;
  clock: Clock;
  commitTimeoutMs: number;
  hooks: WriterHooks;
}): Flusher {
  const writerId = uuidv7();
  let lastFlush = 0;
  let isSettled = true;
  let unknown: Unknown | undefined;

  const isFinal = ({ isSettled: isKnown, ageMs }: SpentFact): boolean =>
    isKnown || (ageMs >= ORPHAN_AFTER_MS && line.soundForMs() >= SOUND_CONNECTION_MS);

  /** As if the database held nothing that the verdicts depend on; undefined where it does. */
  const attemptAtOnce = async (
    connection: Connection,
    {
      batches,
      linkLimit,
      timeoutMs,
    }: { batches: readonly PreparedBatch[]; linkLimit: number; timeoutMs: number },
  ): Promise<Attempt | undefined> => {
    if (batches.length === 0) return undefined;
    const verdicts = judge(batches, { spent: [], revoked: [] }, isFinal);
    const accepted = batches.filter((_, index) => verdicts[index]!.kind === 'accepted');
    lastFlush += 1;
    const flush = lastFlush;
    const isLinkDue = linkLimit > 0;
    const outcome = await flushAtOnce(connection, {
      batches: accepted,
      writerId,
      flush,
      isLinkDue,
      timeoutMs,
    });
    if (outcome.kind !== 'ambiguous') line.noteAnswer();
    if (outcome.kind === 'declined') return undefined;
    if (accepted.some(({ spent }) => spent.length > 0)) isSettled = false;
    return { outcome, verdicts, flush, events: accepted.reduce((sum, { rows }) => sum + rows.length, 0) };
  };

  const attempt = (
    batches: readonly PreparedBatch[],
    linkLimit: number,
    timeoutMs: number,
  ): Promise<Attempt> =>
    line.within(timeoutMs, async (connection) => {
      const done = await attemptAtOnce(connection, { batches, linkLimit, timeoutMs });
      if (done) return done;
      const facts = await beginAndRead(connection, { batches, writerId, linkLimit, timeoutMs });
      line.noteAnswer();
      const verdicts = judge(batches, facts, isFinal);
      const accepted = batches.filter((_, index) => verdicts[index]!.kind === 'accepted');
      if (facts.unlinked.length === 0 && accepted.every(isNothing)) {
        await connection.query('rollback');
        return { outcome: { kind: 'committed' }, verdicts, flush: lastFlush, events: 0 };
      }
      lastFlush += 1;
      const flush = lastFlush;
      const outcome = await writeAndCommit(connection, { facts, batches: accepted, writerId, flush });
      if (accepted.some(({ spent }) => spent.length > 0)) isSettled = false;
      const events = facts.unlinked.length + accepted.reduce((sum, { rows }) => sum + rows.length, 0);
      return { outcome, verdicts, flush, events };
    });

  /** What throws did so before the commit was sent: nothing was written. */
  const attemptSafely = async (
    batches: readonly PreparedBatch[],
    linkLimit: number,
    timeoutMs: number,
  ): Promise<Attempt> => {
    try {
      return await attempt(batches, linkLimit, timeoutMs);
    } catch (error) {
      if (line.isOpen()) {
        await line
          .within(RECOVERY_TIMEOUT_MS, (connection) => connection.query('rollback'))
          .catch(() => line.drop());
      }
      return { outcome: { kind: 'failed', error }, verdicts: [], flush: lastFlush, events: 0 };
    }
  };

  const flush = async (pending: readonly Pending[], linkLimit: number): Promise<FlushResult> => {
    const start = performance.now();
    const remainingMs = (): number => commitTimeoutMs - (performance.now() - start);
    const batches = pending.map(({ batch }) => batch);
    const hadConnection = line.isOpen();
    let result = await attemptSafely(batches, linkLimit, commitTimeoutMs);
    // A connection that was cut before anything was sent: nobody needs to hear of it. (Later ones are settled.)
    if (
      result.outcome.kind === 'failed' &&
      hadConnection &&
      !line.isOpen() &&
      remainingMs() > commitTimeoutMs / 2
    )
      result = await attemptSafely(batches, linkLimit, remainingMs());

    const { outcome, verdicts, events } = result;
    if (outcome.kind === 'failed') return handleFailure(pending, linkLimit, outcome.error);
    if (outcome.kind === 'ambiguous') return settleUnknown(pending, result, outcome.error, remainingMs());
    for (const [index, { answer }] of pending.entries()) answer(verdicts[index]!);
    hooks.onFlush?.({ batches: pending.length, events, durationMs: performance.now() - start });
    return DONE;
  };

  const handleFailure = async (
    pending: readonly Pending[],
    linkLimit: number,
    error: unknown,
  ): Promise<FlushResult> => {
    if (isDatabaseUnavailable(error) || !line.isOpen()) {
      refuse(pending, error);
      return { again: [], unavailable: { error } };
    }
    // The database is there and refuses something of this flush: one bad batch must not take the others with it.
    hooks.onFailure?.(error);
    if (linkLimit > 0 && pending.length > 0) return flush(pending, 0);
    if (pending.length < 2) {
      refuse(pending, error);
      return DONE;
    }
    const middle = Math.ceil(pending.length / 2);
    const first = await flush(pending.slice(0, middle), 0);
    if (first.unavailable) {
      refuse(pending.slice(middle), first.unavailable.error);
      return first;
    }
    const second = await flush(pending.slice(middle), 0);
    return { ...second, again: [...first.again, ...second.again] };
  };

  const settleUnknown = async (
    pending: readonly Pending[],
    { verdicts, flush: number }: Attempt,
    error: unknown,
    remainingMs: number,
  ): Promise<FlushResult> => {
    const accepted = pending.filter((_, index) => verdicts[index]!.kind === 'accepted');
    for (const [index, { answer }] of pending.entries())
      if (verdicts[index]!.kind !== 'accepted') answer(verdicts[index]!);

    const batches = accepted.map(({ batch }) => batch);
    const lost: Unknown = {
      ...createUnknownFlush(number, batches, clock.now()),
      pending: accepted,
      isRefused: false,
      timer: setTimeout(
        () => {
          lost.isRefused = true;
          refuse(accepted, error);
        },
        Math.max(1, remainingMs),
      ),
    };
    unknown = lost;
    line.drop();
    // The database used up the whole time and said nothing: who comes now is not to wait for it as well.
    if (remainingMs < RECOVERY_MARGIN_MS) return { again: [], unavailable: { error } };
    try {
      return { again: await recover() };
    } catch (recoverError) {
      return { again: [], unavailable: { error: recoverError } };
    }
  };

  const recover = (): Promise<readonly Pending[]> =>
    line.within(RECOVERY_TIMEOUT_MS, async (connection) => {
      const head = await begin(connection, RECOVERY_TIMEOUT_MS);
      const lost = unknown;
      const wasDurable = lost !== undefined && (await isDurable(connection, lost));
      if (lost && wasDurable && lost.isRefused) {
        const outcome = await takeBack(connection, { head, unknown: lost, writerId });
        if (outcome.kind !== 'committed') throw outcome.error;
        unknown = undefined;
        return [];
      }
      if (lost && !wasDurable) {
        await settle(connection, writerId, lost.flush);
        await connection.query('commit');
      }
      // Nothing is awaited between looking at `isRefused` and answering: the deadline cannot come in between.
      let again: readonly Pending[] = [];
      if (lost) {
        clearTimeout(lost.timer);
        unknown = undefined;
        if (wasDurable) for (const { answer } of lost.pending) answer({ kind: 'accepted' });
        else if (!lost.isRefused) again = lost.pending;
      }
      if (!lost || wasDurable) await connection.query('rollback').catch(() => line.drop());
      return again;
    });

  return {
    flush,
    recover,
    hasUnknown: () => unknown !== undefined,
    isSettled: () => isSettled,
    settle: async () => {
      if (isSettled || unknown || !line.isOpen()) return;
      const number = lastFlush;
      await line.within(RECOVERY_TIMEOUT_MS, (connection) => settle(connection, writerId, number));
      if (number === lastFlush) isSettled = true;
    },
  };
}

function refuse(pending: readonly Pending[], error: unknown): void {
  for (const each of pending) each.refuse(error);
}

function isNothing({ rows, spent, revocations }: PreparedBatch): boolean {
  return rows.length + spent.length + revocations.length === 0;
}
