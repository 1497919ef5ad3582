/**
 * The issuer: one provider at a time, swapped under the running server when the keys change. Requests under way finish
 * on the provider they began with; nothing else refers to one for longer than a request.
 */
import type { X509Certificate } from 'node:crypto';
import type { KoaContextWithOIDC, Provider } from 'oidc-provider';

import type { AccountService } from '../accounts/account.ts';
import type { FactorService } from '../accounts/factors.ts';
import type { ApiService } from '../apis/service.ts';
import type { ApprovalService } from '../approvals/service.ts';
import type { AuthorizationTypeService } from '../apis/type-service.ts';
import type { RevocationList } from '../audit/revocations.ts';
import type { ClientService } from '../clients/service.ts';
import type { KeyService } from '../keys/service.ts';
import type { SigningAlg } from '../keys/signing-key.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import type { Logger } from '../platform/logger.ts';
import type { Sealer } from '../platform/seal.ts';
import type { Outgoing } from '../platform/outgoing.ts';
import type { RbacService } from '../rbac/role.ts';
import { type ApprovalDesk, createApprovalDesk } from './approval-desk.ts';
import { createAdapterFactory } from './adapter.ts';
import { createAuthorizationDetails } from './authorization-details.ts';
import {
  buildConfiguration,
  DPOP_ALGS,
  type Lifetimes,
  longestGrantSeconds,
  longestSessionBoundSeconds,
  type ProviderPages,
} from './configuration.ts';
import { type CibaDependencies, createCiba } from './ciba.ts';
import { createDeviceEntry, type DevicePages } from './device-entry.ts';
import { createDpopNonces } from './dpop-nonces.ts';
import { createDpopRules } from './dpop.ts';
import { createEncryptToClient, type EncryptToClient } from './encrypt-to-client.ts';
import { createEventRecorder } from './events.ts';
import { toProviderKey } from './external-key.ts';
import { createSigners } from './fast/signing.ts';
import { createFastPaths, type FastPath, type FastPaths } from './fast/paths.ts';
import { createFindAccount, createFindPerson, type ProviderAccount } from './find-account.ts';
import { createLoadExistingGrant } from './grants.ts';
import { createInteractions, type Interactions } from './interactions.ts';
import { createFindLiveSession, type FindLiveSession } from './live-sessions.ts';
import { createIsDead } from './liveness.ts';
import { type CertificateSource, createMutualTls } from './mutual-tls.ts';
import { createPolicy } from './policy.ts';
import { createClientIndex, createProvider } from './provider.ts';
import type { RecordKeeping } from './record-before-response.ts';
import { createFindRefreshLimits } from './refresh-rules.ts';
import { createRefreshTokens } from './refresh-tokens.ts';
import { createResources } from './resources.ts';
import { OIDC_SCOPES } from './scopes.ts';
import { createSecurityProfiles } from './security-profile.ts';
import { createFetch, createMayReach } from './self-registered.ts';
import { createSignOutRecorder } from './sign-out.ts';
import { createAttemptToSpend } from './spending.ts';
import type { OidcStore } from './store/port.ts';
import { createStructuredTokens, type StructuredTokens } from './structured-tokens.ts';
import { createPairwiseIdentifier, createSubjectOf, type SubjectIdentifiers } from './subject-identifiers.ts';
import { createTokenExchange } from './token-exchange/token-exchange.ts';
import { createMayIntrospect } from './token-readers.ts';
import type { UserCodeThrottle } from './user-code-throttle.ts';

export interface IssuerDependencies {
  issuer: string;
  ttl: Lifetimes & { parSeconds: number; backchannelRequestSeconds: number };
  retryWindowSeconds: number;
  commitTimeoutMs: number;
  isMfaRequired: boolean;
  mayRecordIntrospection: boolean;
  mayRecordUserinfo: boolean;
  accounts: AccountService;
  subjectIdentifiers: SubjectIdentifiers;
  factors: FactorService;
  rbac: RbacService;
  clients: ClientService;
  apis: ApiService;
  authorizationTypes: AuthorizationTypeService;
  keys: KeyService;
  sealer: Sealer;
  db: Database;
  store: OidcStore;
  revocations: RevocationList;
  fingerprint: (secret: string) => string;
  undoNow: () => Promise<void>;
  clock: Clock;
  logger: Logger;
  /** Whether signing out ends offline grants too; a client may say otherwise. */
  endsOfflineGrants: boolean;
  /** Once the record of a sign-out is durable. */
  onSignOut: () => void;
  outgoing: Outgoing;
  outgoingToStrangers: Outgoing;
  certificates: CertificateSource;
  isDpopNonceRequired: boolean;
  /** How long a client that waits for a person pauses between two questions. */
  pollingSeconds: number;
  ciba: Pick<CibaDependencies, 'hintLimiter' | 'notify'> & { approvals: ApprovalService };
  userCodeThrottle: UserCodeThrottle;
  devicePages: DevicePages;
  pages: ProviderPages & Pick<RecordKeeping, 'renderUnavailable' | 'renderSignedOut'>;
  onGrant?: (grantType: string, outcome: 'success' | 'failure', clientId?: string) => void;
  /** What discovery says besides: endpoints that are not the library's. */
  announced: Record<string, unknown>;
  /** The APIs that clients which no operator registered may ask for. */
  openedApis: readonly string[];
  /** `off`: every request goes through the library; else told of each that did not. */
  fastPaths?: 'off' | ((path: FastPath) => void) | undefined;
}

export interface Issuer {
  /** The provider of now, a Koa application to be mounted below the issuer's path. */
  provider: () => Provider;
  /** Stands in front of it; absent where everything is to go through the library. */
  fastPaths: FastPaths | undefined;
  interactions: Interactions;
  desk: ApprovalDesk;
  findLiveSession: FindLiveSession;
  encryptToClient: EncryptToClient;
  stop: () => void;
}

/** The keys must have been started. */
export function createIssuer(dependencies: IssuerDependencies): Issuer {
  const { issuer, ttl, clients, apis, keys, sealer, db, store, revocations, clock, fingerprint, pages } =
    dependencies;
  const clientOf = createClientIndex();
  const grantSeconds = longestGrantSeconds(ttl);
  const events = createEventRecorder({
    fingerprint,
    clock,
    mayRecordIntrospection: dependencies.mayRecordIntrospection,
    mayRecordUserinfo: dependencies.mayRecordUserinfo,
    sessionBoundSeconds: longestSessionBoundSeconds(ttl),
    logger: dependencies.logger,
    ...(dependencies.onGrant ? { onGrant: dependencies.onGrant } : {}),
  });
  const keeping: RecordKeeping = {
    store,
    clock,
    events,
    logger: dependencies.logger,
    undoNow: dependencies.undoNow,
    retryWindowSeconds: dependencies.retryWindowSeconds,
    longestGrantSeconds: grantSeconds,
    renderUnavailable: pages.renderUnavailable,
    renderSignedOut: pages.renderSignedOut,
    signOut: createSignOutRecorder({
      issuer,
      accounts: dependencies.accounts,
      clients,
      store,
      clock,
      endsOfflineGrants: dependencies.endsOfflineGrants,
      sessionBoundSeconds: longestSessionBoundSeconds(ttl),
      longestGrantSeconds: grantSeconds,
      onSignOut: dependencies.onSignOut,
    }),
  };

  const deviceEntry = createDeviceEntry({
    store,
    apis,
    clientOf,
    intervalSeconds: dependencies.pollingSeconds,
    pages: dependencies.devicePages,
    throttle: dependencies.userCodeThrottle,
  });
  const findPerson = createFindPerson(dependencies);
  const findAccount = createFindAccount({
    findPerson,
    subjectOf: createSubjectOf(dependencies.subjectIdentifiers, clientOf),
  });
  const findProviderAccount = (ctx: KoaContextWithOIDC, sub: string): Promise<ProviderAccount | undefined> =>
    findAccount(ctx, sub) as unknown as Promise<ProviderAccount | undefined>;
  const authorizationDetails = createAuthorizationDetails({
    types: dependencies.authorizationTypes,
    clientOf,
    db,
  });
  const resources = createResources({
    mayReach: createMayReach({ opened: dependencies.openedApis, clientOf }),
    hasKeyFor: (alg) => signingAlgs.has(alg),
    apis,
    detailsFor: authorizationDetails.detailsFor,
    oidcScopes: OIDC_SCOPES,
    findAccount: findProviderAccount,
  });
  const ciba = createCiba({
    ...dependencies.ciba,
    accounts: dependencies.accounts,
    clientOf,
    resources,
    revocations,
    store,
    clock,
    fingerprint,
    intervalSeconds: dependencies.pollingSeconds,
    requestSeconds: ttl.backchannelRequestSeconds,
  });
  const refreshTokens = createRefreshTokens({
    ttl,
    apis,
    store,
    clientOf,
    checkTarget: resources.checkTarget,
  });
  const profiles = createSecurityProfiles(clientOf);
  const mutualTls = createMutualTls({ source: dependencies.certificates, clock });
  const nonceSecret = sealer.deriveKey('dpop nonces');
  const dpop = createDpopRules({
    nonceSecret,
    isNonceAlwaysRequired: dependencies.isDpopNonceRequired,
    clientOf,
    checkProof: profiles.checkProof,
  });
  const mayIntrospect = createMayIntrospect({ apis, findClient: clients.find });

  let signers = createSigners(keys.keyset().jwks.keys);
  let signingAlgs = new Set<string>();
  let carry: StructuredTokens['carry'] = () => {};

  const build = (): Provider => {
    const { jwks, signing } = keys.keyset();
    signers = createSigners(jwks.keys);
    signingAlgs = new Set(signing.map(({ alg }) => String(alg)));
    const structuredTokens = createStructuredTokens({ issuer, keys: jwks.keys, sealer });
    carry = structuredTokens.carry;
    return createProvider({
      tokenExchange: createTokenExchange({
        issuer,
        keys: jwks.keys,
        sealer,
        store,
        revocations,
        structuredTokens,
        apis,
        resources,
        clientOf,
        findAccount: findProviderAccount,
        certificateOf: (ctx) => mutualTls.feature.getCertificate?.(ctx) as X509Certificate | undefined,
        proofs: {
          algorithms: DPOP_ALGS,
          requiresNonce: (ctx) => dpop.feature.requireNonce?.(ctx) === true,
          nonces: createDpopNonces(nonceSecret),
        },
        accessTokenSeconds: ttl.accessTokenSeconds,
        clock,
      }),
      issuer,
      clients,
      clientOf,
      dpop,
      mutualTls,
      resources,
      authorizationDetails,
      refreshTokens,
      structuredTokens,
      deviceEntry,
      ciba,
      store,
      events,
      keeping,
      parSeconds: ttl.parSeconds,
      configuration: buildConfiguration({
        issuer,
        announced: dependencies.announced,
        ttl,
        clientOf,
        dpop,
        mutualTls,
        profiles,
        pages,
        resources,
        authorizationDetails,
        refreshTokens,
        structuredTokens,
        deviceFlow: deviceEntry.feature,
        ciba,
        mayIntrospect,
        jwks: {
          keys: jwks.keys.map((jwk) => toProviderKey(jwk, keys.signExternally)),
        },
        signingAlgs: signing.map(({ alg }) => alg as SigningAlg),
        fetch: createFetch({ ...dependencies, clientOf }),
        cookieKeys: keys.cookieKeys(),
        adapter: createAdapterFactory({
          store,
          revocations,
          structuredTokens,
          clock,
          fingerprint,
          retryWindowSeconds: dependencies.retryWindowSeconds,
          commitTimeoutMs: dependencies.commitTimeoutMs,
          longestGrantSeconds: grantSeconds,
        }),
        policy: createPolicy({
          factors: dependencies.factors,
          resources,
          authorizationDetails,
          clientOf,
          isMfaRequired: dependencies.isMfaRequired,
        }),
        findAccount,
        pairwiseIdentifier: createPairwiseIdentifier(dependencies.subjectIdentifiers, clientOf),
        loadExistingGrant: createLoadExistingGrant({
          db,
          revocations,
          resources,
          authorizationDetails,
          clientOf,
          clock: dependencies.clock,
        }),
      }),
    });
  };

  let current = build();
  const rebuild = (): void => {
    current = build();
  };
  const stops = [keys.onChange(rebuild), dependencies.authorizationTypes.onChange(rebuild)];

  return {
    provider: () => current,
    fastPaths:
      dependencies.fastPaths === 'off'
        ? undefined
        : createFastPaths({
            ...dependencies,
            accessTokenSeconds: ttl.accessTokenSeconds,
            idTokenSeconds: ttl.idTokenSeconds,
            signerFor: (alg, typ) => signers(alg, typ),
            carry: (token, parts) => carry(token, parts),
            findPerson,
            findRefreshLimits: createFindRefreshLimits(dependencies),
            attemptToSpend: createAttemptToSpend({ ...dependencies, longestGrantSeconds: grantSeconds }),
            isDead: createIsDead({ revocations, clock }),
            mayIntrospect,
            findClient: clients.find,
            exposedByToken: 'DPoP-Nonce,WWW-Authenticate',
            onTaken: dependencies.fastPaths,
          }),
    desk: createApprovalDesk({
      provider: () => current,
      ...dependencies,
      approvals: dependencies.ciba.approvals,
    }),
    findLiveSession: createFindLiveSession(() => current),
    encryptToClient: createEncryptToClient({ issuer, provider: () => current }),
    interactions: createInteractions({ provider: () => current, authorizationDetails, ...dependencies }),
    stop: () => stops.forEach((stop) => stop()),
  };
}
