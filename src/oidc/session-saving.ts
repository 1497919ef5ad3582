/**
 * The library saves a session whole, so that of several requests of one browser the last would undo the others. Here
 * each request remembers what it read and tells the store to write the difference only.
 */
import { type AdapterPayload, Provider } from 'oidc-provider';

import type { OidcStore, SessionAuthorizations, StoredPayload } from './store/port.ts';

interface SessionSaving {
  /** What `find` returned in this request. */
  remember: (payload: StoredPayload) => void;
  save: (id: string, payload: AdapterPayload, ttlSeconds: number) => Promise<undefined>;
  /** Whether the library destroys this id only because the session goes on under another (`resetIdentifier`). */
  isReplaced: (id: string) => boolean;
}

interface Seen {
  uid: unknown;
  authorizations: SessionAuthorizations;
}

const seen = new WeakMap<object, Seen>();

export function createSessionSaving(store: OidcStore): SessionSaving {
  const oldIdInUse = (): string | undefined =>
    (Provider.ctx?.oidc.session as unknown as { oldId?: string } | undefined)?.oldId;

  return {
    remember: (payload) => {
      if (Provider.ctx) seen.set(Provider.ctx.req, snapshot(payload));
    },
    isReplaced: (id) => id === oldIdInUse(),
    save: async (id, payload, ttlSeconds) => {
      const request = Provider.ctx?.req;
      const before = request && seen.get(request);
      const baseline = before?.uid === payload.uid ? before?.authorizations : undefined;
      const replaces = oldIdInUse();
      await store.saveSession(id, payload, ttlSeconds, {
        ...(baseline ? { baseline } : {}),
        ...(baseline && replaces && replaces !== id ? { replaces } : {}),
      });
      if (request) seen.set(request, snapshot(payload));
      return undefined;
    },
  };
}

function snapshot(payload: StoredPayload): Seen {
  const authorizations = (payload['authorizations'] ?? {}) as SessionAuthorizations;
  return { uid: payload['uid'], authorizations: structuredClone(authorizations) };
}
