/**
 * What a refused request has to take back and could not, because the store that it wrote to was away as well: tried
 * again until it works, so that the client's retry does not meet the traces of an attempt that never counted.
 */
export interface UndoQueue {
  /** Does it later, after whatever waits already. */
  add: (work: () => Promise<void>) => void;
  /** Tries everything that waits, now. Never throws; what fails goes on waiting. */
  retry: () => Promise<void>;
  close: () => Promise<void>;
}

const RETRY_INTERVAL_MS = 250;
/** Every mark that could be undone has lapsed by itself by then. */
const FORGET_AFTER_MS = 600_000;
const MAX_WAITING = 10_000;

export function createUndoQueue({
  reportError,
}: {
  reportError: (error: unknown, message: string) => void;
}): UndoQueue {
  let waiting: { work: () => Promise<void>; since: number }[] = [];
  let running: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  const retryLater = (): void => {
    if (isClosed || timer || waiting.length === 0) return;
    timer = setTimeout(() => {
      timer = undefined;
      void retry();
    }, RETRY_INTERVAL_MS).unref();
  };

  /** One after the other, and none after the first that fails: the store is still away. */
  const run = async (): Promise<void> => {
    for (;;) {
      const [next] = waiting;
      if (!next) return;
      try {
        await next.work();
      } catch (error) {
        if (performance.now() - next.since < FORGET_AFTER_MS) return;
        reportError(error, 'What could not be recorded could not be undone either');
      }
      waiting = waiting.filter((each) => each !== next);
    }
  };
  const retry = (): Promise<void> => {
    running ??= run().finally(() => {
      running = undefined;
      retryLater();
    });
    return running;
  };

  return {
    add: (work) => {
      if (waiting.length >= MAX_WAITING) {
        reportError(new Error(`${MAX_WAITING} are waiting already`), 'Undoing was given up');
        return;
      }
      waiting.push({ work, since: performance.now() });
      retryLater();
    },
    retry,
    close: async () => {
      isClosed = true;
      clearTimeout(timer);
      await retry();
    },
  };
}
