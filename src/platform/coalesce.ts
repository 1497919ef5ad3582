/**
 * Turns many calls into few runs of `work`, one at a time. A call while one is under way is answered by the next run,
 * which it shares with the others that came meanwhile: so a call never resolves with what was read before it.
 */
export function coalesce(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let following: Promise<void> | undefined;

  const start = (): Promise<void> => {
    following = undefined;
    const run = work().finally(() => {
      if (running === run) running = undefined;
    });
    running = run;
    return run;
  };
  return () => {
    if (following) return following;
    if (!running) return start();
    following = running.then(start, start);
    return following;
  };
}
