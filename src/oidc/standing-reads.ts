import { Provider } from 'oidc-provider';

import type { OidcStore, StandingModel, StoredPayload } from './store/port.ts';

/**
 * The library asks for a token, then for its grant, then for its session, and for some of them again. Here the first
 * look-up of a request brings what it will ask for next. What was revoked since is found out in any case: by the list in
 * memory at each look-up (adapter.ts), by the store as the successor is written, and by PostgreSQL (audit/judge.ts).
 */
interface StandingReads {
  token: (model: StandingModel, id: string) => Promise<StoredPayload | undefined>;
  grant: (id: string) => Promise<StoredPayload | undefined>;
  session: (uid: string) => Promise<StoredPayload | undefined>;
}

interface Brought {
  grants: Map<string, StoredPayload | undefined>;
  sessions: Map<string, StoredPayload | undefined>;
}

/** Where grants and sessions are only looked at. */
const READING_ROUTES: ReadonlySet<string> = new Set(['token', 'userinfo', 'introspection']);

const brought = new WeakMap<object, Brought>();

export function createStandingReads(store: OidcStore): StandingReads {
  return {
    token: async (model, id) => {
      const { ctx } = Provider;
      if (!ctx || !READING_ROUTES.has(ctx.oidc.route)) return store.find(model, id);
      const found = await store.findStanding(model, id);
      if (!found) return undefined;
      const { token, grant, session } = found;
      const { grants, sessions } = brought.get(ctx.req) ?? { grants: new Map(), sessions: new Map() };
      if (grant) grants.set(String(token['grantId']), grant);
      if (session) sessions.set(String(token['sessionUid']), session);
      brought.set(ctx.req, { grants, sessions });
      return token;
    },
    grant: async (id) => broughtFor('grants', id) ?? store.find('Grant', id),
    session: async (uid) => broughtFor('sessions', uid) ?? store.findByUid(uid),
  };
}

function broughtFor(kind: keyof Brought, id: string): StoredPayload | undefined {
  return Provider.ctx && brought.get(Provider.ctx.req)?.[kind].get(id);
}

const STANDING: ReadonlySet<string> = new Set<StandingModel>([
  'AccessToken',
  'RefreshToken',
  'AuthorizationCode',
]);

export function isStanding(model: string): model is StandingModel {
  return STANDING.has(model);
}
