import type { Queryable } from '../platform/database.ts';
import type { HashParameters } from './hashing/hasher.ts';
import { dummyHash, parametersKey, parametersKeyOf } from './hashing/parameters.ts';
import { findPasswordParameters } from './store.ts';

const REFRESH_MS = 60_000;

/**
 * The hashing costs in use among the accounts: one, or two while accounts are rehashed after a change of the setting.
 * Every attempt to sign in pays all of them, whosever it is, so its time tells neither whether the account exists nor how
 * old its hash is.
 */
export interface ParameterSets {
  /**
   * What to compare an attempt with: the account's own hash among dummies of the other costs, always in the same order.
   *
   * @param own the account's hash; undefined where there is none, or where it may not match
   * @returns the hashes, and where among them the own one stands (-1: nowhere)
   */
  hashesFor: (own: string | undefined) => Promise<{ hashes: string[]; ownIndex: number }>;
}

export function createParameterSets({
  db,
  current,
}: {
  db: Queryable;
  current: HashParameters;
}): ParameterSets {
  let sets = new Set([parametersKey(current)]);
  const dummies = new Map<string, string>();
  let loadedAt = Number.NEGATIVE_INFINITY;
  let loading: Promise<void> | undefined;

  const load = async (): Promise<void> => {
    sets = new Set([parametersKey(current), ...(await findPasswordParameters(db))]);
    loadedAt = performance.now();
  };
  const refresh = async (): Promise<void> => {
    if (performance.now() - loadedAt < REFRESH_MS) return;
    loading ??= load().finally(() => {
      loading = undefined;
    });
    await loading;
  };
  const dummyOf = (key: string): string => {
    const dummy = dummies.get(key) ?? dummyHash(key);
    dummies.set(key, dummy);
    return dummy;
  };

  return {
    hashesFor: async (own) => {
      await refresh();
      const ownKey = parametersKeyOf(own);
      // Made by another process since the last look: from now on everybody pays for it.
      if (ownKey !== undefined) sets.add(ownKey);
      const keys = [...sets].sort();
      return {
        hashes: keys.map((key) => (own !== undefined && key === ownKey ? own : dummyOf(key))),
        ownIndex: ownKey === undefined ? -1 : keys.indexOf(ownKey),
      };
    },
  };
}
