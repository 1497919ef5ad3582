/**
 * When clients that registered themselves were last used, to the day: what the token endpoint does is a look into a
 * map, and a job writes down once a day for each client that it was used.
 */
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database.ts';
import { saveUse } from './store.ts';

const DAY_MS = 86_400_000;
/** More clients than that in a day are written down more than once. */
const MAX_NOTED = 100_000;

export interface ClientUse {
  /** A client got a token. Costs nothing. */
  note: (clientId: string) => void;
  /** Writes down what was noted; tried again with the next call where it fails. */
  save: () => Promise<void>;
}

export function createClientUse({ db, clock }: { db: Database; clock: Clock }): ClientUse {
  const saved = new Set<string>();
  const noted = new Set<string>();
  let today = 0;

  const dayOf = (now: Date): number => Math.floor(now.getTime() / DAY_MS);
  return {
    note: (clientId) => {
      const day = dayOf(clock.now());
      if (day !== today || saved.size >= MAX_NOTED) {
        today = day;
        saved.clear();
      }
      if (!saved.has(clientId) && noted.size < MAX_NOTED) noted.add(clientId);
    },
    save: async () => {
      const clientIds = [...noted];
      if (clientIds.length === 0) return;
      await saveUse(db, clientIds, new Date(dayOf(clock.now()) * DAY_MS));
      for (const clientId of clientIds) {
        noted.delete(clientId);
        saved.add(clientId);
      }
    },
  };
}
