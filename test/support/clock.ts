import type { Clock } from '../../src/platform/clock.ts';

/** A clock that stands still until it is moved. */
export function createTestClock(
  start: Date = new Date(),
): Clock & { advanceSeconds: (seconds: number) => void } {
  let now = start.getTime();
  return {
    now: () => new Date(now),
    advanceSeconds: (seconds) => {
      now += seconds * 1000;
    },
  };
}
