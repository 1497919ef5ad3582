/** Where the time comes from. Tests pass a clock of their own. */
export interface Clock {
  now: () => Date;
}

export const systemClock: Clock = { now: () => new Date() };

/** Seconds since the epoch, as JWTs count them (RFC 7519 §2, NumericDate). */
export function epochSeconds(clock: Clock): number {
  return Math.floor(clock.now().getTime() / 1000);
}
