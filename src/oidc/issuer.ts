/**
 * The issuer: one provider at a time, swapped under the running server when the keys change. Requests under way finish
 * on the provider they began with; nothing else refers to one for longer than a request.
 */
import type { Provider } from 'oidc-provider';

import type { AccountService } from '../accounts/account.ts';
import type { FactorService } from '../accounts/factors.ts';
import type { RevocationList } from '../audit/revocations.ts';
import type { ClientService } from '../clients/service.ts';
import type { KeyService } from '../keys/service.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import type { Logger } from '../platform/logger.ts';
import type { RbacService } from '../rbac/role.ts';
import { createAdapterFactory } from './adapter.ts';
import {
  buildConfiguration,
  type Lifetimes,
  longestGrantSeconds,
  type ProviderPages,
} from './configuration.ts';
import { createEventRecorder } from './events.ts';
import { createFindAccount } from './find-account.ts';
import { createLoadExistingGrant } from './grants.ts';
import { createInteractions, type Interactions } from './interactions.ts';
import { createPolicy } from './policy.ts';
import { createClientIndex, createProvider } from './provider.ts';
import type { RecordKeeping } from './record-before-response.ts';
import type { OidcStore } from './store/port.ts';

export interface IssuerDependencies {
  issuer: string;
  ttl: Lifetimes & { parSeconds: number };
  retryWindowSeconds: number;
  commitTimeoutMs: number;
  isMfaRequired: boolean;
  mayRecordIntrospection: boolean;
  mayRecordUserinfo: boolean;
  accounts: AccountService;
  factors: FactorService;
  rbac: RbacService;
  clients: ClientService;
  keys: KeyService;
  db: Database;
  store: OidcStore;
  revocations: RevocationList;
  fingerprint: (secret: string) => string;
  undoNow: () => Promise<void>;
  clock: Clock;
  logger: Logger;
  pages: ProviderPages & Pick<RecordKeeping, 'renderUnavailable'>;
  onGrant?: (grantType: string, outcome: 'success' | 'failure') => void;
}

export interface Issuer {
  /** The provider of now, a Koa application to be mounted below the issuer's path. */
  provider: () => Provider;
  interactions: Interactions;
  stop: () => void;
}

/** The keys must have been started. */
export function createIssuer(dependencies: IssuerDependencies): Issuer {
  const { issuer, ttl, clients, keys, db, store, revocations, clock, fingerprint, pages } = dependencies;
  const clientOf = createClientIndex();
  const grantSeconds = longestGrantSeconds(ttl);
  const events = createEventRecorder({
    fingerprint,
    clock,
    mayRecordIntrospection: dependencies.mayRecordIntrospection,
    mayRecordUserinfo: dependencies.mayRecordUserinfo,
    sessionTtlSeconds: ttl.sessionSeconds,
    logger: dependencies.logger,
    ...(dependencies.onGrant ? { onGrant: dependencies.onGrant } : {}),
  });
  const keeping: RecordKeeping = {
    store,
    clock,
    events,
    undoNow: dependencies.undoNow,
    retryWindowSeconds: dependencies.retryWindowSeconds,
    longestGrantSeconds: grantSeconds,
    renderUnavailable: pages.renderUnavailable,
  };

  const build = (): Provider =>
    createProvider({
      issuer,
      clients,
      clientOf,
      store,
      events,
      keeping,
      parSeconds: ttl.parSeconds,
      configuration: buildConfiguration({
        issuer,
        ttl,
        clientOf,
        pages,
        jwks: keys.keyset().jwks,
        cookieKeys: keys.cookieKeys(),
        adapter: createAdapterFactory({
          store,
          revocations,
          clock,
          fingerprint,
          retryWindowSeconds: dependencies.retryWindowSeconds,
          commitTimeoutMs: dependencies.commitTimeoutMs,
          longestGrantSeconds: grantSeconds,
        }),
        policy: createPolicy({
          factors: dependencies.factors,
          clientOf,
          isMfaRequired: dependencies.isMfaRequired,
        }),
        findAccount: createFindAccount(dependencies),
        loadExistingGrant: createLoadExistingGrant({ db, revocations, clientOf }),
      }),
    });

  let current = build();
  const stop = keys.onChange(() => {
    current = build();
  });

  return {
    provider: () => current,
    interactions: createInteractions({ provider: () => current, ...dependencies }),
    stop,
  };
}
