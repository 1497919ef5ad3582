/**
 * Notices when a server stops answering without closing its connections (a frozen machine, a network that swallows
 * packets), which no socket tells. Whoever waits too long makes us ask on a fresh connection; where that is silent as
 * well, everybody who waits is refused, and whoever comes later at once, until the server answers again. A statement
 * that is merely slow goes on: the fresh connection is answered.
 */
export interface SilenceWatch {
  /** Runs the work, or refuses it while the server is silent. @throws Error with `code` ETIMEDOUT */
  guard: <T>(work: () => Promise<T>) => Promise<T>;
  stop: () => void;
}

const PROBE_INTERVAL_MS = 250;

/**
 * @param patienceMs how long an answer may take before we ask whether the server is there; a guarded call is refused
 *   after at most 1.25 of it and the time that `probe` takes
 * @param probe rejects when the server does not answer; must bound its own time
 * @param onSilent told once for each outage: drop what is open
 */
export function watchSilence({
  patienceMs,
  probe,
  onSilent,
}: {
  patienceMs: number;
  probe: () => Promise<void>;
  onSilent: (error: Error) => void;
}): SilenceWatch {
  /** Since when each call waits, the longest first. */
  const waiting = new Map<(error: Error) => void, number>();
  let silence: Error | undefined;
  let isProbing = false;
  let probing: NodeJS.Timeout | undefined;

  const fallSilent = (cause: unknown): void => {
    silence = Object.assign(new Error('The server does not answer', { cause }), { code: 'ETIMEDOUT' });
    for (const refuse of waiting.keys()) refuse(silence);
    waiting.clear();
    onSilent(silence);
    probeLater();
  };

  const probeLater = (): void => {
    probing = setTimeout(() => {
      probe().then(() => {
        silence = undefined;
      }, probeLater);
    }, PROBE_INTERVAL_MS).unref();
  };

  const look = (): void => {
    const [longest] = waiting.values();
    if (isProbing || silence || longest === undefined || performance.now() - longest < patienceMs) return;
    isProbing = true;
    probe()
      .catch(fallSilent)
      .finally(() => {
        isProbing = false;
      });
  };
  const looking = setInterval(look, patienceMs / 4).unref();

  return {
    guard: (work) => {
      if (silence) return Promise.reject(silence);
      const { promise: refusal, reject } = Promise.withResolvers<never>();
      waiting.set(reject, performance.now());
      return Promise.race([work(), refusal]).finally(() => waiting.delete(reject));
    },
    stop: () => {
      clearInterval(looking);
      clearTimeout(probing);
    },
  };
}
