import type { Client } from './client.ts';

export interface ClientCache {
  find: (clientId: string) => Promise<Client | undefined>;
  /** Forgets everything, what is being loaded included. */
  clear: () => void;
}

/**
 * Keeps clients in memory. A load that began before `clear` never fills the cache after it, nor answers a `find` that
 * came after it: it may have read what is no longer true.
 *
 * @param missingForMs how long "there is no such client" is remembered; bounded in number as well, so that nobody
 *   fills the memory with invented ids
 */
export function createClientCache({
  load,
  maxClients = 10_000,
  maxMissing = 1_000,
  missingForMs = 5_000,
}: {
  load: (clientId: string) => Promise<Client | undefined>;
  maxClients?: number;
  maxMissing?: number;
  missingForMs?: number;
}): ClientCache {
  const present = new Map<string, Client>();
  const missingUntilMs = new Map<string, number>();
  const loading = new Map<string, Promise<Client | undefined>>();
  let generation = 0;

  const remember = (clientId: string, client: Client | undefined): void => {
    if (client) put(present, clientId, client, maxClients);
    else put(missingUntilMs, clientId, performance.now() + missingForMs, maxMissing);
  };
  const loadAndRemember = async (clientId: string): Promise<Client | undefined> => {
    const startedIn = generation;
    const client = await load(clientId);
    if (startedIn === generation) remember(clientId, client);
    return client;
  };
  const startLoading = (clientId: string): Promise<Client | undefined> => {
    const promise = loadAndRemember(clientId).finally(() => {
      if (loading.get(clientId) === promise) loading.delete(clientId);
    });
    loading.set(clientId, promise);
    return promise;
  };

  return {
    find: async (clientId) => {
      const client = present.get(clientId);
      if (client) return client;
      if ((missingUntilMs.get(clientId) ?? 0) > performance.now()) return undefined;
      return loading.get(clientId) ?? startLoading(clientId);
    },
    clear: () => {
      generation += 1;
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
