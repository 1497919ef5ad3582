/** Things in memory by their key, loaded when they are first asked for. */
export interface KeyedCache<V> {
  find: (key: string) => Promise<V | undefined>;
  /** Everything is to be loaded again, what is being loaded included. */
  clear: () => void;
}

/**
 * A load that began before `clear` never fills the cache after it, nor answers a `find` that came after it: it may
 * have read what is no longer true.
 *
 * @param missingForMs how long "there is no such thing" is remembered; bounded in number as well, so that nobody
 *   fills the memory with invented keys
 * @param isPassing whether a load failed in a way that passes by itself: until then the last known value is served
 */
export function createKeyedCache<V>({
  load,
  maxPresent = 10_000,
  maxMissing = 1_000,
  missingForMs = 5_000,
  isPassing = () => false,
}: {
  load: (key: string) => Promise<V | undefined>;
  maxPresent?: number;
  maxMissing?: number;
  missingForMs?: number;
  isPassing?: (error: unknown) => boolean;
}): KeyedCache<V> {
  const present = new Map<string, V>();
  const former = new Map<string, V>();
  const missingUntilMs = new Map<string, number>();
  const loading = new Map<string, Promise<V | undefined>>();
  let generation = 0;

  const remember = (key: string, value: V | undefined): void => {
    former.delete(key);
    if (value !== undefined) put(present, key, value, maxPresent);
    else put(missingUntilMs, key, performance.now() + missingForMs, maxMissing);
  };
  const loadAndRemember = async (key: string): Promise<V | undefined> => {
    const startedIn = generation;
    try {
      const value = await load(key);
      if (startedIn === generation) remember(key, value);
      // Perhaps no longer true, but better than nothing while it cannot be loaded again.
      else if (value !== undefined && !present.has(key)) put(former, key, value, maxPresent);
      return value;
    } catch (error) {
      const lastKnown = former.get(key);
      if (lastKnown !== undefined && isPassing(error)) return lastKnown;
      throw error;
    }
  };
  const startLoading = (key: string): Promise<V | undefined> => {
    const promise = loadAndRemember(key).finally(() => {
      if (loading.get(key) === promise) loading.delete(key);
    });
    loading.set(key, promise);
    return promise;
  };

  return {
    find: async (key) => {
      const value = present.get(key);
      if (value !== undefined) return value;
      if ((missingUntilMs.get(key) ?? 0) > performance.now()) return undefined;
      return loading.get(key) ?? startLoading(key);
    },
    clear: () => {
      generation += 1;
      for (const [key, value] of present) put(former, key, value, maxPresent);
      present.clear();
      missingUntilMs.clear();
      loading.clear();
    },
  };
}

/** Drops the oldest entry where there is no more room. */
function put<V>(map: Map<string, V>, key: string, value: V, maxEntries: number): void {
  map.delete(key);
  if (map.size >= maxEntries) {
    const oldest = map.keys().next();
    if (!oldest.done) map.delete(oldest.value);
  }
  map.set(key, value);
}
