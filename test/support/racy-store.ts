import type { OidcStore } from '../../src/oidc/store/port.ts';

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
      await store.spend(model, id, options);
      return { kind: 'won' };
    },
    markOnce: async (key, spender, ttlSeconds) => {
      const mark = `racy:${key}`;
      if ((await store.getAnswer(mark)) !== undefined) return false;
      await store.putAnswer(mark, spender, ttlSeconds);
      return true;
    },
  };
}
