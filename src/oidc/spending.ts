/**
 * One attempt to spend what counts once: a mark in the store, pending until PostgreSQL has judged it together with the
 * record of what was given for it (audit/), and taken back where that record was not written.
 */
import type { UnitOfWork } from '../audit/unit-of-work.ts';
import { type Clock, epochSeconds } from '../platform/clock.ts';
import { digest, uuidv7 } from '../platform/ids.ts';
import { inheritAnswer } from './refresh-answers.ts';
import type { Model, OidcStore, Spending, StoredPayload } from './store/port.ts';

export interface SpendingDependencies {
  store: OidcStore;
  clock: Clock;
  /** How long a spent refresh token is answered with the same successor. */
  retryWindowSeconds: number;
  /** The longest life of anything under a grant: how long a spending is remembered where the payload does not tell. */
  longestGrantSeconds: number;
}

export interface Attempt {
  model: Model;
  id: string;
  payload: StoredPayload | undefined;
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
  return async (unit, { model, id, payload, mark }) => {
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
    const { grantId, exp } = payload ?? {};
    unit.spend({
      kind: model,
      digest: digest(model, id),
      expiresAt: new Date(Number(exp ?? epochSeconds(clock) + longestGrantSeconds) * 1000),
      ...(typeof grantId === 'string' && grantId !== '' ? { grantId } : {}),
      spendId: spender,
      onConflict: (by) => {
        recorded = by;
      },
    });
    return { outcome, spender };
  };
}
