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
