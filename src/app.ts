/**
 * The composition root: read from top to bottom it is the architecture. Where state lives is opened in state.ts, the
 * subjects upon it are built in subjects.ts; here the server opens its doors to them.
 */
import type { AddressInfo } from 'node:net';

import { createAccountDoor } from './account/routes.ts';
import { createAuthenticationService } from './accounts/authentication.ts';
import { createFirstAdministrator } from './accounts/first-administrator.ts';
import { createHashingPool } from './accounts/hashing/pool.ts';
import { runInUnitOfWork } from './audit/unit-of-work.ts';
import { certificateSettings, tlsFiles } from './config/certificates.ts';
import { parseListen } from './config/formats.ts';
import { registerDemoClients } from './demo-clients.ts';
import { announcedMetadata, createEndpoints } from './endpoints/endpoints.ts';
import { withAccountClient } from './clients/own-client.ts';
import { loadAssets } from './http/assets.ts';
import { createClientCertificates } from './http/client-certificates.ts';
import { createHost } from './http/host.ts';
import { createListener } from './http/listener.ts';
import { createRenderer } from './http/render.ts';
import { createHomeRoute } from './interaction/home.ts';
import { createDevicePages } from './interaction/device-pages.ts';
import { createProviderPages } from './interaction/provider-pages.ts';
import { createInteractionRoutes } from './interaction/routes.ts';
import { jobsForAll, jobsOfEachProcess } from './jobs/jobs.ts';
import { createScheduler } from './jobs/scheduler.ts';
import { longestSessionBoundSeconds } from './oidc/configuration.ts';
import type { FastPath } from './oidc/fast/paths.ts';
import { createIssuer } from './oidc/issuer.ts';
import { createSubjectIdentifiers } from './oidc/subject-identifiers.ts';
import type { OidcStore } from './oidc/store/port.ts';
import { createPostgresStore } from './oidc/store/postgres-store.ts';
import { createRedisStore } from './oidc/store/redis-store.ts';
import { createHealth } from './ops/health.ts';
import { serveMetrics } from './ops/metrics-server.ts';
import { createRequestMetrics } from './ops/request-metrics.ts';
import { createMetrics, timedAs } from './platform/metrics.ts';
import { ADMINISTRATOR_ROLE } from './rbac/role.ts';
import { grantRoleInTransaction } from './rbac/service.ts';
import { createLogoutNotices } from './sign-out/delivery.ts';
import { openState, type State, type StateOptions } from './state.ts';
import type { Assignment, DemoApplication } from './workers/messages.ts';
import { shareOfHashing } from './workers/share.ts';
import { createSubjects, passwordSettings, type Subjects } from './subjects.ts';
import { createThrottles } from './throttles.ts';

/** A key that leaked must leave the caches of others soon. */
const PUBLISHED_MAX_AGE_SECONDS = 300;
const FIRST_ADMINISTRATOR_EMAIL = 'admin@localhost.example';

export interface ServerOptions extends Omit<StateOptions, 'isCommand'> {
  version: string;
  /** One of several processes behind one address (workers/), which share what is to be there once. */
  worker?: Assignment;
  /** Stands between the protocol and its store: sees every operation, and may answer in the store's place. */
  decorateStore?: (store: OidcStore) => OidcStore;
  /** `off` sends every request through the provider, else each that takes a short way is told: for tests of them. */
  fastPaths?: 'off' | ((path: FastPath) => void);
}

export interface Server {
  /** The address people open. */
  url: string;
  /** Where it listens; port 0 in the settings becomes a real one. */
  address: AddressInfo;
  /** Made at the very first start; the password is known only now. */
  firstAdministrator: { email: string; password?: string } | undefined;
  demo: readonly DemoApplication[];
  state: State;
  subjects: Subjects;
  /** Not ready, no new connections, what is under way finished, the audit log flushed, everything closed. Idempotent. */
  stop: () => Promise<void>;
}

/** A listening server. Everything it started is closed again where a later step fails. */
export async function createServer(options: ServerOptions): Promise<Server> {
  const { logger, onProgress = () => {} } = options;
  const closing: (() => Promise<void> | void)[] = [];
  const closeAll = async (): Promise<void> => {
    for (const close of closing.splice(0).toReversed()) {
      await Promise.resolve(close()).catch((error: unknown) =>
        logger.error({ err: error }, 'closing failed'),
      );
    }
  };
  try {
    const state = await openState({ ...options, isCommand: options.worker !== undefined });
    closing.push(state.close);
    onProgress(
      `Database ready${state.appliedMigrations.length > 0 ? `, ${state.appliedMigrations.length} migrations applied` : ''}.`,
    );
    return await serve(options, state, closing, closeAll);
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function serve(
  options: ServerOptions,
  state: State,
  closing: (() => Promise<void> | void)[],
  closeAll: () => Promise<void>,
): Promise<Server> {
  const { config, logger, version, worker, decorateStore = (undecorated) => undecorated } = options;
  const isFirst = (worker?.number ?? 1) === 1;
  const { db, redis, sealer, clock } = state;
  const { issuer } = config;
  const issuerPath = new URL(issuer).pathname.replace(/\/$/, '');
  const isHttps = issuer.startsWith('https:');
  const metrics = createMetrics();

  const hasher = createHashingPool({
    ...shareOfHashing(config.password, worker?.of ?? 1),
    onWorkerLost: (reason) => logger.warn({ reason }, 'a hashing process ended and is replaced'),
  });
  closing.push(hasher.close);
  metrics.watchHashing(() => hasher.use());
  metrics.watchDatabasePool(db.poolUse);

  const subjects = createSubjects({ config, logger, state, hasher, metrics });
  const { audit, revocations, accounts, factors, rbac, apis, keys, approvals } = subjects;
  const { outgoing, outgoingToStrangers } = subjects;
  const clients = withAccountClient(subjects.clients, issuer);
  closing.push(audit.close, subjects.clientUse.save);
  await Promise.all([
    revocations.start(),
    clients.start(),
    apis.start(),
    subjects.authorizationTypes.start(),
    keys.ensureKeys().then(keys.start),
  ]);
  closing.push(revocations.stop, clients.stop, apis.stop, keys.stop, subjects.authorizationTypes.stop);

  // Production prints no password: logs are kept, and read by others. There the operator makes the first one.
  const firstAdministrator =
    config.env === 'production' || !isFirst
      ? undefined
      : await createFirstAdministrator({
          db,
          hasher,
          clock,
          settings: passwordSettings(config),
          email: FIRST_ADMINISTRATOR_EMAIL,
          grantAdministrator: (tx, accountId, by) =>
            grantRoleInTransaction(tx, { accountId, role: ADMINISTRATOR_ROLE, by, now: clock.now() }),
        });

  const store = decorateStore(
    redis
      ? createRedisStore({
          redis,
          keyPrefix: config.redis.keyPrefix,
          clock,
          sealer,
          onOperation: timedAs('redis', metrics),
        })
      : createPostgresStore({ db, clock, sealer, onOperation: timedAs('postgres', metrics) }),
  );

  const subjectIdentifiers = createSubjectIdentifiers({
    pairwiseSubjects: subjects.pairwiseSubjects,
    findClient: clients.find,
  });
  const notices = createLogoutNotices({
    db,
    clock,
    issuer,
    outgoing,
    outgoingToStrangers,
    outgoingTimeoutMs: config.outgoing.timeoutMs,
    findClient: clients.findKnown,
    tellSubject: subjectIdentifiers.tellById,
    sign: keys.signJwt,
    encrypt: (clientId, jwt) => provided.encryptToClient(clientId, jwt),
    sessionSeconds: longestSessionBoundSeconds(config.ttl),
    giveUpAfterSeconds: config.signOut.giveUpAfterSeconds,
    onError: (error) => logger.warn({ err: error }, 'applications could not be told of a sign-out'),
  });

  const assets = loadAssets({ pathPrefix: issuerPath });
  const renderer = createRenderer({ branding: config.branding, assetBase: assets.base });
  const throttles = createThrottles({ config, state });
  const pages = createProviderPages({
    renderer,
    interactionTtlSeconds: config.ttl.interactionSeconds,
    emailOf: async (sub) => (await accounts.findBySub(sub))?.email,
  });
  const { trustedProxies } = config;
  const clientCertificates = createClientCertificates({ trustedProxies, ...certificateSettings(config) });
  const provided = createIssuer({
    issuer,
    ttl: config.ttl,
    retryWindowSeconds: config.refresh.retryWindowSeconds,
    commitTimeoutMs: config.audit.commitTimeoutMs,
    isMfaRequired: config.mfa.required,
    mayRecordIntrospection: config.audit.recordIntrospection,
    mayRecordUserinfo: config.audit.recordUserinfo,
    accounts,
    subjectIdentifiers,
    factors,
    rbac,
    clients,
    apis,
    authorizationTypes: subjects.authorizationTypes,
    keys,
    sealer,
    db,
    store,
    revocations,
    fingerprint: audit.fingerprint,
    undoNow: audit.undoNow,
    clock,
    logger,
    endsOfflineGrants: config.signOut.endsOfflineGrants,
    certificates: clientCertificates,
    isDpopNonceRequired: config.dpop.requireNonce,
    announced: announcedMetadata(config),
    openedApis: config.registration.apis,
    onSignOut: notices.kick,
    outgoing,
    outgoingToStrangers,
    pages,
    userCodeThrottle: throttles.userCode,
    devicePages: createDevicePages({
      renderer,
      lifetimeSeconds: config.ttl.deviceCodeSeconds,
      renderError: pages.renderError,
    }),
    pollingSeconds: config.polling.intervalSeconds,
    ciba: { approvals: approvals.service, hintLimiter: approvals.hintLimiter },
    fastPaths: options.fastPaths,
    onGrant: (grantType, outcome, clientId) => {
      metrics.grant(grantType, outcome === 'success' ? 'success' : 'refused');
      if (clientId !== undefined && outcome === 'success') subjects.clientUse.note(clientId);
    },
  });
  closing.push(provided.stop);

  const authentication = createAuthenticationService({
    db,
    hasher,
    parameters: passwordSettings(config).parameters,
    throttle: throttles.signIn,
    onError: (error) => logger.warn({ err: error }, 'a password could not be rehashed'),
  });

  const rolesOf = async (accountId: string): Promise<string[]> =>
    (await rbac.rolesOf(accountId)).map(({ name }) => name);
  const account = createAccountDoor({
    desk: provided.desk,
    signOut: subjects.signOut,
    findLiveSession: provided.findLiveSession,
    findClient: clients.findKnown,
    consents: subjects.consents,
    rolesOf,
    renderer,
    issuer,
    issuerPath,
    isHttps,
    clock,
    interactionTtlSeconds: config.ttl.interactionSeconds,
  });

  // Whoever replaces the first worker starts it again.
  const demo = isFirst ? [] : [...(worker?.first?.demo ?? [])];
  const health = createHealth({
    logger,
    checks: { database: db.ping, ...(redis ? { redis: async () => void (await redis.ping()) } : {}) },
  });
  const host = createHost({
    issuer,
    trustedProxies,
    clientCertificates,
    renderer,
    assets,
    logger,
    operations: [createRequestMetrics({ metrics, issuerPath }), health.middleware],
    publishedMaxAgeSeconds: Math.min(PUBLISHED_MAX_AGE_SECONDS, config.keys.publishBeforeSigningSeconds),
    fastPaths: provided.fastPaths,
    protocol: provided.provider,
    runRecorded: (work) => runInUnitOfWork(audit, work),
    endpoints: createEndpoints({
      issuer,
      registration: subjects.registration,
      isRegistrationEnabled: config.registration.enabled,
      attemptRegistration: throttles.registration,
      findApi: apis.find,
      listTypes: () => [...subjects.authorizationTypes.current().values()],
    }),
    doors: [
      createHomeRoute({
        renderer,
        issuer,
        isDevelopment: config.env !== 'production',
        apps: demo,
        accountOf: account.summaryOf,
      }),
      account.routes,
      createInteractionRoutes({
        interactions: provided.interactions,
        authentication,
        factors,
        renderer,
        issuerPath,
        isHttps,
        clock,
        interactionTtlSeconds: config.ttl.interactionSeconds,
        rolesOf,
        findClient: clients.find,
        onSignIn: metrics.signIn,
      }),
    ],
  });

  const { clientUse } = subjects;
  const jobs = createScheduler({
    logger,
    jobs: [
      ...jobsOfEachProcess({ clientUse }),
      ...(isFirst
        ? jobsForAll({
            db,
            sealer,
            clock,
            logger,
            dataDir: config.dataDir,
            keys,
            approvals: approvals.service,
            clientUse,
            registration: subjects.registration,
            removeClientsUnusedSeconds: config.registration.unusedAfterSeconds,
            checkpoints: {
              sink: config.audit.checkpointSink,
              intervalSeconds: config.audit.checkpointIntervalSeconds,
            },
          })
        : []),
    ],
  });
  const listener = createListener(host.callback(), tlsFiles(config));
  const address = await listener.listen({
    port: config.port,
    address: config.listenAddress,
    isShared: worker !== undefined,
  });
  closing.push(() => listener.close(0));
  jobs.start();
  notices.start();
  approvals.pings.start();
  closing.push(jobs.stop, notices.stop, approvals.pings.stop);

  if (worker) metrics.shareWithPrimary();
  else
    closing.push(await serveMetrics({ metrics, listen: parseListen(config.metrics.listen ?? ''), logger }));
  if (config.demo && isFirst) {
    // Only development loads them, and the client library that they use.
    const { chooseDemoPorts, startDemo } = await import('./demo/server.ts');
    const ports = await chooseDemoPorts({ ledger: address.port + 1, atlas: address.port + 2 });
    const secrets = await registerDemoClients({ clients, sealer, ports });
    const running = await startDemo({ issuer, secrets, ports, branding: config.branding, logger });
    demo.push(...running.applications);
    closing.push(running.close);
  }
  await runInUnitOfWork(audit, (unit) => {
    unit.record({
      type: 'server.started',
      outcome: 'success',
      payload: { version, env: config.env, node: process.versions.node },
    });
    return unit.commit();
  });

  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    health.startDraining();
    listener.askToLeave();
    await new Promise((resolve) => setTimeout(resolve, config.shutdown.drainSeconds * 1000));
    await listener.close(config.shutdown.graceSeconds);
    await runInUnitOfWork(audit, (unit) => {
      unit.record({ type: 'server.stopped', outcome: 'success', payload: {} });
      return unit.commit();
    }).catch((error: unknown) => logger.warn({ err: error }, 'the stop could not be recorded'));
    await closeAll();
  };
  return {
    url: issuer,
    address,
    firstAdministrator: firstAdministrator && {
      email: firstAdministrator.account.email,
      ...(firstAdministrator.password === undefined ? {} : { password: firstAdministrator.password }),
    },
    demo,
    state,
    subjects,
    stop: () => (stopping ??= stop()),
  };
}
