import { AggregatorRegistry, collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Seconds. A JWT takes under a millisecond, an outage the commit timeout of the audit log. */
const latencyBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const batchBuckets = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

const grantTypes = new Map([
  ['authorization_code', 'authorization_code'],
  ['refresh_token', 'refresh_token'],
  ['client_credentials', 'client_credentials'],
  ['urn:ietf:params:oauth:grant-type:device_code', 'device_code'],
  ['urn:ietf:params:oauth:grant-type:token-exchange', 'token_exchange'],
  ['urn:openid:params:grant-type:ciba', 'ciba'],
]);

export interface HashingReading {
  running: number;
  queued: number;
  capacity: number;
  /** Totals since the start. */
  computed: number;
  refused: number;
}

export interface PoolReading {
  total: number;
  idle: number;
  waiting: number;
}

/** What the rest of the server counts. Durations are in seconds. */
export interface Metrics {
  /** One attempt at a step of signing in. */
  signIn: (
    outcome: 'success' | 'refused' | 'throttled' | 'busy',
    factor?: 'password' | 'totp' | 'recovery_code',
  ) => void;
  /** One answer of the token endpoint; an unknown grant type is counted as "other", for a client can send any text. */
  grant: (grantType: string | undefined, outcome: 'success' | 'refused' | 'fault') => void;
  /** One flush of the audit writer. */
  auditFlush: (flush: { events: number; seconds: number; outcome: 'committed' | 'failed' }) => void;
  /** One call to where sessions and tokens are kept. */
  adapterCall: (call: { store: 'redis' | 'postgres'; operation: string; seconds: number }) => void;
  httpRequest: (request: { group: string; status: number; seconds: number }) => void;
  /** Reads the hashing pool whenever metrics are collected. */
  watchHashing: (read: () => HashingReading) => void;
  /** Reads the pool of database connections whenever metrics are collected. */
  watchDatabasePool: (read: () => PoolReading) => void;
  /** Tells them to the primary process, which adds those of all workers up (`createWorkerMetrics`). */
  shareWithPrimary: () => void;
  contentType: string;
  /** The Prometheus text format. */
  render: () => Promise<string>;
}

/** In the primary process: the metrics of all workers as one. */
export function createWorkerMetrics(): Pick<Metrics, 'contentType' | 'render'> {
  const registry = new AggregatorRegistry();
  return { contentType: registry.contentType, render: () => registry.clusterMetrics() };
}

/** @param isProcessIncluded whether memory, processor time and event loop lag of the process are collected too */
export function createMetrics({ isProcessIncluded = true }: { isProcessIncluded?: boolean } = {}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  if (isProcessIncluded) collectDefaultMetrics({ register: registry });

  const signIns = new Counter({
    name: 'gatehouse_sign_ins_total',
    help: 'Attempts at a step of signing in, by factor and outcome.',
    labelNames: ['factor', 'outcome'],
    registers,
  });
  const grants = new Counter({
    name: 'gatehouse_grants_total',
    help: 'Answers of the token endpoint, by grant type and outcome.',
    labelNames: ['grant_type', 'outcome'],
    registers,
  });
  const flushSeconds = new Histogram({
    name: 'gatehouse_audit_flush_seconds',
    help: 'Duration of one flush of the audit writer, by outcome.',
    labelNames: ['outcome'],
    buckets: latencyBuckets,
    registers,
  });
  const flushEvents = new Histogram({
    name: 'gatehouse_audit_flush_events',
    help: 'Events committed by one flush of the audit writer.',
    buckets: batchBuckets,
    registers,
  });
  const adapterSeconds = new Histogram({
    name: 'gatehouse_adapter_seconds',
    help: 'Duration of calls to where sessions and tokens are kept, by store and operation.',
    labelNames: ['store', 'operation'],
    buckets: latencyBuckets,
    registers,
  });
  const httpSeconds = new Histogram({
    name: 'gatehouse_http_request_seconds',
    help: 'Duration of requests, by group of routes and status.',
    labelNames: ['group', 'status'],
    buckets: latencyBuckets,
    registers,
  });

  return {
    signIn: (outcome, factor = 'password') => signIns.inc({ factor, outcome }),
    grant: (grantType, outcome) =>
      grants.inc({ grant_type: grantTypes.get(grantType ?? '') ?? 'other', outcome }),
    auditFlush: ({ events, seconds, outcome }) => {
      flushSeconds.observe({ outcome }, seconds);
      if (outcome === 'committed') flushEvents.observe(events);
    },
    adapterCall: ({ store, operation, seconds }) => adapterSeconds.observe({ store, operation }, seconds),
    httpRequest: ({ group, status, seconds }) => httpSeconds.observe({ group, status }, seconds),
    watchHashing: (read) => registerHashing(registers, read),
    watchDatabasePool: (read) => registerDatabasePool(registers, read),
    shareWithPrimary: () => {
      AggregatorRegistry.setRegistries([registry]);
      // It begins to listen for the primary's question as it is made.
      void new AggregatorRegistry();
    },
    contentType: registry.contentType,
    render: () => registry.metrics(),
  };
}

function registerHashing(registers: Registry[], read: () => HashingReading): void {
  const gauge = (name: string, help: string, value: (reading: HashingReading) => number): void => {
    void new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value(read()));
      },
    });
  };
  const total = (name: string, help: string, value: (reading: HashingReading) => number): void => {
    void new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(value(read()));
      },
    });
  };
  gauge('gatehouse_hashing_running', 'Passwords being hashed at this moment.', ({ running }) => running);
  gauge('gatehouse_hashing_queued', 'Sign-ins waiting for a hashing worker.', ({ queued }) => queued);
  gauge('gatehouse_hashing_capacity', 'Sign-ins that may hash or wait at once.', ({ capacity }) => capacity);
  total('gatehouse_hashing_computed_total', 'Password hashes computed.', ({ computed }) => computed);
  total(
    'gatehouse_hashing_rejected_total',
    'Sign-ins turned away because the queue was full.',
    ({ refused }) => refused,
  );
}

function registerDatabasePool(registers: Registry[], read: () => PoolReading): void {
  void new Gauge({
    name: 'gatehouse_database_connections',
    help: 'Connections to PostgreSQL, by state.',
    labelNames: ['state'],
    registers,
    collect() {
      const { total, idle } = read();
      this.set({ state: 'idle' }, idle);
      this.set({ state: 'busy' }, total - idle);
    },
  });
  void new Gauge({
    name: 'gatehouse_database_waiting',
    help: 'Queries waiting for a connection to PostgreSQL.',
    registers,
    collect() {
      this.set(read().waiting);
    },
  });
}

/** For the `onOperation` of a store. */
export function timedAs(store: 'redis' | 'postgres', metrics: Metrics) {
  return ({ operation, durationMs }: { operation: string; durationMs: number }): void =>
    metrics.adapterCall({ store, operation, seconds: durationMs / 1000 });
}
