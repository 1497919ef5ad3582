import type { Model, OidcStore } from './port.ts';

/** Told of every finished operation, failed ones too. `model` is absent where the operation has none. */
export type OnOperation = (operation: {
  operation: keyof OidcStore;
  model?: Model;
  durationMs: number;
}) => void;

/** The same store, with each operation timed. */
export function observeStore(store: OidcStore, onOperation: OnOperation): OidcStore {
  const timed = <Args extends unknown[], Result>(
    operation: keyof OidcStore,
    run: (...args: Args) => Promise<Result>,
    modelOf: (args: Args) => Model | undefined = () => undefined,
  ): ((...args: Args) => Promise<Result>) => {
    return async (...args) => {
      const startedAt = performance.now();
      const model = modelOf(args);
      try {
        return await run(...args);
      } finally {
        onOperation({ operation, ...(model ? { model } : {}), durationMs: performance.now() - startedAt });
      }
    };
  };

  return {
    upsert: timed('upsert', store.upsert, ([model]) => model),
    find: timed('find', store.find, ([model]) => model),
    findStanding: timed('findStanding', store.findStanding, ([model]) => model),
    findByUid: timed('findByUid', store.findByUid, () => 'Session'),
    findByUserCode: timed('findByUserCode', store.findByUserCode, () => 'DeviceCode'),
    destroy: timed('destroy', store.destroy, ([model]) => model),
    revokeByGrantId: timed('revokeByGrantId', store.revokeByGrantId, () => 'Grant'),
    saveSession: timed('saveSession', store.saveSession, () => 'Session'),
    endSession: timed('endSession', store.endSession, () => 'Session'),
    spend: timed('spend', store.spend, ([model]) => model),
    confirmSpent: timed('confirmSpent', store.confirmSpent, ([model]) => model),
    releaseSpent: timed('releaseSpent', store.releaseSpent, ([model]) => model),
    markOnce: timed('markOnce', store.markOnce),
    unmark: timed('unmark', store.unmark),
    poll: timed('poll', store.poll),
    putAnswer: timed('putAnswer', store.putAnswer),
    getAnswer: timed('getAnswer', store.getAnswer),
    ping: timed('ping', store.ping),
  };
}
