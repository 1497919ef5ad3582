import { setTimeout as delay } from 'node:timers/promises';

/** Waits for the next second to begin, for what is to happen within one. */
export async function startOfSecond(): Promise<void> {
  await delay(1_000 - (Date.now() % 1_000) + 1);
}
