/**
 * One attempt to spend what counts once: a mark in the store, pending until PostgreSQL has judged it together with the
 * record of what was given for it (audit/), and taken back where that record was not written.
 */
import type { UnitOfWork } from '../audit/unit-of-work.ts';
import { type Clock, epochSeconds } from '../platform/clock.ts';
import { digest, uuidv7 } from '../platform/ids.ts';
import { inheritAnswer } from './refresh-answers.ts';
import type { Model, OidcStore, Spending } from './store/port.ts';

export interface SpendingDependencies {
  store: OidcStore;
  clock: Clock;
  /** How long a spent refresh token is answered with the same successor. */
  retryWindowSeconds: number;
  /** The longest life of anything under a grant. */
  longestGrantSeconds: number;
}

export interface Attempt {
  model: Model;
  id: string;
  /** Seconds of the epoch; as long as anything lives where it is not known. */
  exp: number | undefined;
  grantId: string | undefined;
  /** Sets the mark, in the name of this attempt. */
  mark: (spender: string) => Promise<Spending>;
}

/** @returns how it ended, and the name of the attempt; only one that has `won` is for PostgreSQL to judge */
export type AttemptToSpend = (
  unit: UnitOfWork,
  attempt: Attempt,
) => Promise<{ outcome: Spending; spender: string }>;

export function createAttemptToSpend({
  store,
  clock,
  retryWindowSeconds,
  longestGrantSeconds,
}: SpendingDependencies): AttemptToSpend {
  return async (unit, { model, id, exp = epochSeconds(clock) + longestGrantSeconds, grantId, mark }) => {
    const spender = uuidv7();
    let recorded: string | undefined;
    // Before the mark: a store that falls silent may set it after we have given up.
    unit.onRollback(async () => {
      // An attempt whose process died had been recorded: its answer is that of everybody who asks within the window.
      const isInherited =
        recorded !== undefined &&
        (await inheritAnswer(store, { refreshToken: id, spender }, { recorded, retryWindowSeconds }));
      await (isInherited ? store.confirmSpent(model, id, spender) : store.releaseSpent(model, id, spender));
    });
    const outcome = await mark(spender);
    if (outcome.kind !== 'won') return { outcome, spender };

    unit.onCommit(() => store.confirmSpent(model, id, spender));
    unit.spend({
      kind: model,
      digest: digest(model, id),
      expiresAt: new Date(exp * 1000),
      ...(grantId ? { grantId } : {}),
      spendId: spender,
      onConflict: (by) => {
        recorded = by;
      },
    });
    return { outcome, spender };
  };
}
