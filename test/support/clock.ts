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

export interface ShiftedClock extends Clock {
  advanceSeconds: (seconds: number) => void;
}

/** The system's clock, until it is moved ahead of it. */
export function createShiftedClock(): ShiftedClock {
  let aheadMs = 0;
  return {
    now: () => new Date(Date.now() + aheadMs),
    advanceSeconds: (seconds) => {
      aheadMs += seconds * 1000;
    },
  };
}
