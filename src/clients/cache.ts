import { isDatabaseUnavailable } from '../platform/database.ts';
import { createKeyedCache, type KeyedCache } from '../platform/keyed-cache.ts';
import type { Client } from './client.ts';

export type ClientCache = KeyedCache<Client>;

/** Keeps clients in memory, by their ids. */
export function createClientCache({
  maxClients = 10_000,
  ...options
}: {
  load: (clientId: string) => Promise<Client | undefined>;
  maxClients?: number;
  maxMissing?: number;
  missingForMs?: number;
}): ClientCache {
  // Nothing can be issued while the database is away, but the client can be told so at its own redirect URI.
  return createKeyedCache({ ...options, maxPresent: maxClients, isPassing: isDatabaseUnavailable });
}
