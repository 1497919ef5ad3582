import { setTimeout as delay } from 'node:timers/promises';

import { AppError } from './errors.ts';

/**
 * Tries until it works, with growing pauses (0.25 s to 5 s), and says what is waited for.
 *
 * @param isPassing whether the fault may go away by itself; others are thrown at once
 * @throws AppError `not_reachable` after `timeoutSeconds`, with the last fault as its cause; `interrupted` when `signal`
 *   is aborted
 */
export async function waitFor<T>({
  what,
  attempt,
  isPassing,
  timeoutSeconds,
  onWaiting,
  signal,
}: {
  /** As in "Waiting for PostgreSQL at db:5432". */
  what: string;
  attempt: () => Promise<T>;
  isPassing: (error: unknown) => boolean;
  timeoutSeconds: number;
  onWaiting: (message: string) => void;
  signal?: AbortSignal | undefined;
}): Promise<T> {
  const deadline = Date.now() + timeoutSeconds * 1000;
  let pauseMs = 250;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!isPassing(error)) throw error;
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) {
        throw new AppError('not_reachable', 503, `${what} did not answer within ${timeoutSeconds} seconds.`, {
          cause: error,
        });
      }
      onWaiting(`Waiting for ${what} (${error instanceof Error ? error.message : String(error)})`);
      await delay(Math.min(pauseMs, leftMs), undefined, { signal }).catch(() => {
        throw new AppError('interrupted', 503, `Told to stop while it was waiting for ${what}.`);
      });
      pauseMs = Math.min(pauseMs * 2, 5_000);
    }
  }
}
