import { AppError } from './errors.ts';

/**
 * Tries until it works, with growing pauses (0.25 s to 5 s), and says what is waited for.
 *
 * @param isPassing whether the fault may go away by itself; others are thrown at once
 * @throws AppError `not_reachable` after `timeoutSeconds`, with the last fault as its cause
 */
export async function waitFor<T>({
  what,
  attempt,
  isPassing,
  timeoutSeconds,
  onWaiting,
}: {
  /** As in "Waiting for PostgreSQL at db:5432". */
  what: string;
  attempt: () => Promise<T>;
  isPassing: (error: unknown) => boolean;
  timeoutSeconds: number;
  onWaiting: (message: string) => void;
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
      await new Promise((resolve) => setTimeout(resolve, Math.min(pauseMs, leftMs)));
      pauseMs = Math.min(pauseMs * 2, 5_000);
    }
  }
}
