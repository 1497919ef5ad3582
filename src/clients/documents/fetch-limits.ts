const WINDOW_MS = 60_000;
const MAX_KEYS = 10_000;

/**
 * Counts by key within the minute, in this process alone: what it guards is this process's own requests. A minute
 * begins with the first request after the one before it.
 */
export function createMinuteLimit(perMinute: number): (key: string) => boolean {
  let windowStartMs = Number.NEGATIVE_INFINITY;
  const counts = new Map<string, number>();
  return (key) => {
    const nowMs = performance.now();
    if (nowMs - windowStartMs >= WINDOW_MS || counts.size >= MAX_KEYS) {
      windowStartMs = nowMs;
      counts.clear();
    }
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    return count <= perMinute;
  };
}
