import { setTimeout as delay } from 'node:timers/promises';

/** Repeats the expectation until it holds; its last failure is thrown. */
export async function eventually(
  expectation: () => Promise<void>,
  { timeoutMs = 10_000 }: { timeoutMs?: number } = {},
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await expectation();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await delay(50);
    }
  }
}

/**
 * What is promised to hold everywhere one second after what was just answered: an attempt that begins later must not
 * fail, however long it takes itself. Of several promises at once, all are to be started before one is waited for.
 */
export async function withinASecond(expectation: () => Promise<void>): Promise<void> {
  const promisedAt = performance.now() + 1_000;
  for (;;) {
    const isDue = performance.now() >= promisedAt;
    try {
      return await expectation();
    } catch (error) {
      if (isDue) throw error;
      await delay(Math.max(0, Math.min(50, promisedAt - performance.now())));
    }
  }
}
