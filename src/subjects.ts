/**
 * What the product is about, without any door: each subject with what it needs. The server and the command line build
 * the same ones.
 */
import { createFactorService } from './accounts/factors.ts';
import type { Hasher } from './accounts/hashing/hasher.ts';
import { createPairwiseSubjects, type PairwiseSubjects } from './accounts/pairwise-subjects.ts';
import { createAccountService, type PasswordSettings } from './accounts/service.ts';
import { MAX_ACCESS_TOKEN_SECONDS } from './apis/api.ts';
import { createApiService } from './apis/service.ts';
import { createAuthorizationTypeService } from './apis/type-service.ts';
import { createPings } from './approvals/pings.ts';
import { type ApprovalService, createApprovalService } from './approvals/service.ts';
import { type AuditLog, createAuditLog } from './audit/log.ts';
import { createRevocationList, type RevocationList } from './audit/revocations.ts';
import { createClientDocuments, MAX_DOCUMENT_BYTES } from './clients/documents/service.ts';
import { openPolicy } from './clients/registration/policy.ts';
import { createRegistrationService, type RegistrationService } from './clients/registration/service.ts';
import { createRegistrationTokens, type RegistrationTokens } from './clients/registration/tokens.ts';
import { type ClientUse, createClientUse } from './clients/registration/use.ts';
import { createClientService } from './clients/service.ts';
import type { Config } from './config/schema.ts';
import { createExternalSigner, type ExternalSigner } from './keys/external.ts';
import { createKeyService } from './keys/service.ts';
import { longestGrantSeconds, longestSessionBoundSeconds } from './oidc/configuration.ts';
import { type ConsentService, createConsentService } from './oidc/withdrawal.ts';
import type { Courier } from './platform/delivery/courier.ts';
import type { Logger } from './platform/logger.ts';
import type { Metrics } from './platform/metrics.ts';
import { createOutgoing, type Outgoing, resolveByNameServers } from './platform/outgoing.ts';
import { createRateLimiter, type RateLimiter } from './platform/rate-limit.ts';
import { refuseLastAdministrator } from './rbac/last-administrator.ts';
import { createRbacService } from './rbac/service.ts';
import { createSignOutService, type SignOutService } from './sign-out/service.ts';
import type { State } from './state.ts';

export interface SubjectOptions {
  config: Config;
  logger: Logger;
  state: State;
  hasher: Hasher;
  metrics?: Metrics;
}

/** What the product is about, without any door. */
export interface Subjects {
  audit: AuditLog;
  revocations: RevocationList;
  accounts: ReturnType<typeof createAccountService>;
  pairwiseSubjects: PairwiseSubjects;
  factors: ReturnType<typeof createFactorService>;
  rbac: ReturnType<typeof createRbacService>;
  clients: ReturnType<typeof createClientService>;
  registration: RegistrationService;
  registrationTokens: RegistrationTokens;
  clientUse: ClientUse;
  apis: ReturnType<typeof createApiService>;
  authorizationTypes: ReturnType<typeof createAuthorizationTypeService>;
  keys: ReturnType<typeof createKeyService>;
  approvals: {
    service: ApprovalService;
    /** Tells clients that there is an answer; to be started. */
    pings: Courier;
    hintLimiter: RateLimiter;
  };
  signOut: SignOutService;
  consents: ConsentService;
  outgoing: Outgoing;
  /** To addresses of clients that nobody vouches for: the operator's list of inner hosts is not for them. */
  outgoingToStrangers: Outgoing;
}

export function createSubjects({ config, logger, state, hasher, metrics }: SubjectOptions): Subjects {
  const { db, auditDb, redis, sealer, clock } = state;
  const longestTokenSeconds = longestGrantSeconds(config.ttl);
  const report = (what: string) => (error: unknown) => logger.warn({ err: error }, what);

  const revocations = createRevocationList({ db, clock, onError: report('revocations cannot be watched') });
  const audit = createAuditLog({
    db: auditDb,
    clock,
    fingerprintKey: sealer.deriveKey('audit-fingerprint'),
    commitTimeoutMs: config.audit.commitTimeoutMs,
    logger,
    onFlush: ({ events, durationMs }) =>
      metrics?.auditFlush({ events, seconds: durationMs / 1000, outcome: 'committed' }),
    onFailure: () => metrics?.auditFlush({ events: 0, seconds: 0, outcome: 'failed' }),
    onRevoked: revocations.add,
  });
  const outgoing = createOutgoing(config.outgoing);
  const toStrangers = { ...config.outgoing, allowedHosts: [], resolve: resolveByNameServers };
  const outgoingToStrangers = createOutgoing(toStrangers);
  const limits = { redis, db, keyPrefix: config.redis.keyPrefix, ...growingDelay(config) };
  const documents = createClientDocuments({
    hosts: config.registration.documentHosts,
    scopes: [...config.registration.openScopes],
    outgoing: createOutgoing({ ...config.outgoing, maxAnswerBytes: MAX_DOCUMENT_BYTES }),
    outgoingToStrangers: createOutgoing({ ...toStrangers, maxAnswerBytes: MAX_DOCUMENT_BYTES }),
    clock,
    isApi: async (identifier) => (await apis.find(identifier)) !== undefined,
  });
  const clients = createClientService({
    documents,
    db,
    clock,
    longestTokenSeconds,
    idTokenAlgs: config.keys.algorithms,
    outgoing,
    onError: report('clients cannot be watched'),
  });
  const apis = createApiService({
    db,
    clock,
    signingAlgs: config.keys.algorithms,
    onError: report('APIs cannot be watched'),
  });
  // A client that is deleted takes its permissions along, and an API that it stood for goes on without one.
  clients.onChange(apis.forget);
  const pings = createPings({
    db,
    clock,
    sealer,
    outgoing,
    outgoingTimeoutMs: config.outgoing.timeoutMs,
    findClient: clients.find,
    onError: report('an application could not be told of an answer'),
  });
  return {
    audit,
    revocations,
    accounts: createAccountService({
      db,
      hasher,
      clock,
      longestTokenSeconds,
      password: passwordSettings(config),
      beforeDisable: refuseLastAdministrator,
    }),
    pairwiseSubjects: createPairwiseSubjects({ db, clock }),
    factors: createFactorService({
      db,
      sealer,
      clock,
      longestTokenSeconds,
      issuerName: config.mfa.issuerName,
      recoveryCodes: config.mfa.recoveryCodes,
      limiter: createRateLimiter({
        ...limits,
        name: 'factor',
        freeAttempts: config.throttle.accountFreeFailures,
      }),
    }),
    rbac: createRbacService({ db, clock }),
    clients,
    registration: createRegistrationService({
      db,
      clock,
      inChange: clients.inChange,
      idTokenAlgs: config.keys.algorithms,
      openPolicy: config.registration.open
        ? openPolicy({
            redirectHosts: config.registration.openRedirectHosts,
            scopes: config.registration.openScopes,
          })
        : undefined,
      maxClients: config.registration.maxClients,
      longestTokenSeconds,
    }),
    registrationTokens: createRegistrationTokens({ db, clock }),
    clientUse: createClientUse({ db, clock }),
    apis,
    authorizationTypes: createAuthorizationTypeService({
      db,
      clock,
      onError: report('types of authorization details cannot be read'),
    }),
    keys: createKeyService({
      db,
      clock,
      sealer,
      publishBeforeSigningSeconds: config.keys.publishBeforeSigningSeconds,
      rotateAfterSeconds: config.keys.rotateAfterSeconds,
      algorithms: config.keys.algorithms,
      external: externalSigner(config, outgoing),
      longestTokenSeconds: Math.max(
        config.ttl.idTokenSeconds,
        config.ttl.sessionSeconds,
        MAX_ACCESS_TOKEN_SECONDS,
      ),
      onError: report('keys cannot be watched'),
    }),
    outgoing,
    outgoingToStrangers,
    approvals: {
      service: createApprovalService({ db, clock, sealer, ...config.approvals, onDecided: pings.kick }),
      pings,
      hintLimiter: createRateLimiter({
        ...limits,
        name: 'hint',
        freeAttempts: config.throttle.addressFreeFailures,
      }),
    },
    signOut: createSignOutService({
      db,
      clock,
      findClient: clients.findKnown,
      endsOfflineGrants: config.signOut.endsOfflineGrants,
      sessionSeconds: longestSessionBoundSeconds(config.ttl),
      longestGrantSeconds: longestTokenSeconds,
    }),
    consents: createConsentService({ db, clock, longestGrantSeconds: longestTokenSeconds }),
  };
}

function externalSigner({ keys }: Config, outgoing: Outgoing): ExternalSigner | undefined {
  const { externalUrl: url, externalToken: token, externalAlgorithms: algorithms } = keys;
  return url === undefined ? undefined : createExternalSigner({ url, token, algorithms, outgoing });
}

/** How the pauses between guesses grow, for every limiter. */
export function growingDelay({ throttle }: Config): {
  baseDelaySeconds: number;
  maxDelaySeconds: number;
  windowSeconds: number;
} {
  return {
    baseDelaySeconds: throttle.baseDelaySeconds,
    maxDelaySeconds: throttle.maxDelaySeconds,
    windowSeconds: throttle.forgetAfterSeconds,
  };
}

/** What new passwords must be and how they are hashed. */
export function passwordSettings({ password }: Config): PasswordSettings {
  const { memoryKib, iterations, parallelism, minLength } = password;
  return { parameters: { memoryKib, iterations, parallelism }, minLength };
}
