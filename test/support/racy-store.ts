import { setTimeout as delay } from 'node:timers/promises';

import type { OidcStore } from '../../src/oidc/store/port.ts';

/**
 * At most this passes between looking and setting: else a busy machine serves the first before it reads the others. A
 * different time for each, or all would arrive in the same flush of the audit log, which sees equal spends by itself.
 */
const LONGEST_GAP_MS = 100;

/**
 * The same store with the mistake that the race suites exist for: it spends by find, check, set. Whoever looked before
 * the first mark was set believes to have won. A race suite that passes on it proves nothing.
 */
export function makeRacy(store: OidcStore): OidcStore {
  return {
    ...store,
    spend: async (model, id, options) => {
      const found = await store.find(model, id);
      if (!found) return { kind: 'missing' };
      if (found.consumed !== undefined) return store.spend(model, id, options);
      await delay(Math.random() * LONGEST_GAP_MS);
      await store.spend(model, id, options);
      return { kind: 'won' };
    },
    markOnce: async (key, spender, ttlSeconds) => {
      const mark = `racy:${key}`;
      if ((await store.getAnswer(mark)) !== undefined) return false;
      await delay(Math.random() * LONGEST_GAP_MS);
      await store.putAnswer(mark, spender, ttlSeconds);
      return true;
    },
  };
}
