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
const atStart = new WeakMap<object, SessionAuthorizations>();
const saved = new WeakMap<object, 'saving' | 'saved'>();

/** Whether the last save of a session in this request is known to have worked. */
export function isSessionSaved({ req }: { req: object }): boolean {
  return saved.get(req) === 'saved';
}

/** What the session let each client know when this request found it. */
export function authorizationsAtStart({ req }: { req: object }): SessionAuthorizations {
  return atStart.get(req) ?? {};
}

export function createSessionSaving(store: OidcStore): SessionSaving {
  const oldIdInUse = (): string | undefined =>
    (Provider.ctx?.oidc.session as unknown as { oldId?: string } | undefined)?.oldId;

  return {
    remember: (payload) => {
      if (!Provider.ctx) return;
      const found = snapshot(payload);
      seen.set(Provider.ctx.req, found);
      atStart.set(Provider.ctx.req, found.authorizations);
    },
    isReplaced: (id) => id === oldIdInUse(),
    save: async (id, payload, ttlSeconds) => {
      const request = Provider.ctx?.req;
      const before = request && seen.get(request);
      const baseline = before?.uid === payload.uid ? before?.authorizations : undefined;
      const replaces = oldIdInUse();
      if (request) saved.set(request, 'saving');
      await store.saveSession(id, payload, ttlSeconds, {
        ...(baseline ? { baseline } : {}),
        ...(baseline && replaces && replaces !== id ? { replaces } : {}),
      });
      if (request) {
        saved.set(request, 'saved');
        seen.set(request, snapshot(payload));
      }
      return undefined;
    },
  };
}

function snapshot(payload: StoredPayload): Seen {
  const authorizations = (payload['authorizations'] ?? {}) as SessionAuthorizations;
  return { uid: payload['uid'], authorizations: structuredClone(authorizations) };
}
