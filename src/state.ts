/**
 * Where everything is kept: PostgreSQL (ours or the operator's), Redis where there is one, and the key that seals. Opened
 * by the server and by every command, waited for where it is not there yet, migrated before anybody uses it.
 */
import path from 'node:path';

import type { Config } from './config/schema.ts';
import { type Clock, systemClock } from './platform/clock.ts';
import {
  createDatabase,
  type Database,
  type DatabaseConnection,
  isDatabaseUnavailable,
} from './platform/database.ts';
import { startEmbeddedPostgres } from './platform/embedded-postgres.ts';
import type { Logger } from './platform/logger.ts';
import { migrate } from './platform/migrate.ts';
import { assertRedisUsable, createRedis, isRedisUnavailable, type Redis } from './platform/redis.ts';
import { createSealer, type Sealer, sealingKeyFrom } from './platform/seal.ts';
import { readOrCreateSecret } from './platform/secret-file.ts';
import { waitFor } from './platform/wait.ts';

/** Commits of the audit log never wait for the requests' connections. */
const AUDIT_CONNECTIONS = 3;

export interface StateOptions {
  config: Config;
  logger: Logger;
  clock?: Clock;
  /** A command beside a server, or alone. A server owns its embedded database. */
  isCommand?: boolean;
  onProgress?: (message: string) => void;
  /** Aborted: do not wait any more for what is not there yet. */
  signal?: AbortSignal;
  /** The embedded database was lost to another server: this one must end. */
  onLost?: (error: unknown) => void;
}

/** Where everything is kept: PostgreSQL, Redis where there is one, and the key that seals. */
export interface State {
  db: Database;
  auditDb: Database;
  redis: Redis | undefined;
  sealer: Sealer;
  clock: Clock;
  /** For `data export`: how to reach the database from another process. */
  connection: DatabaseConnection;
  isEmbedded: boolean;
  appliedMigrations: string[];
  close: () => Promise<void>;
}

/** @throws AppError `not_reachable`, `redis_evicts`, `data_directory_in_use`, … each with what to do */
export async function openState(options: StateOptions): Promise<State> {
  const { config, logger, clock = systemClock, isCommand = false, onProgress = () => {} } = options;
  const dataDir = path.resolve(config.dataDir);
  const secret = config.secretKey ?? (await readOrCreateSecret(path.join(dataDir, 'secret.key'))).secret;
  const sealer = createSealer([secret, ...config.previousSecretKeys].map(sealingKeyFrom));
  const onError = (error: Error): void => logger.debug({ err: error }, 'a connection was lost');

  const embedded =
    config.database.url === undefined
      ? await startEmbeddedPostgres({
          dataDir,
          attach: isCommand,
          logger,
          onProgress,
          ...(options.onLost ? { onLost: options.onLost } : {}),
        })
      : undefined;
  const connection = embedded?.connection ?? { connectionString: config.database.url ?? '' };
  // Nothing that a request waits for takes longer than its commit may.
  const patienceMs = config.audit.commitTimeoutMs / 2;
  const db = createDatabase({
    connection,
    maxConnections: config.database.maxConnections,
    patienceMs,
    onError,
  });
  const auditDb = createDatabase({ connection, maxConnections: AUDIT_CONNECTIONS, patienceMs, onError });
  const redis =
    config.redis.url === undefined
      ? undefined
      : createRedis({ url: config.redis.url, isCluster: config.redis.cluster, patienceMs, onError });

  const close = async (): Promise<void> => {
    redis?.disconnect();
    await Promise.allSettled([db.close(), auditDb.close()]);
    await embedded?.stop();
  };
  try {
    const waiting = {
      timeoutSeconds: config.startup.waitSeconds,
      onWaiting: (message: string) => logger.warn(message),
      signal: options.signal,
    };
    await waitFor({ what: 'PostgreSQL', attempt: db.ping, isPassing: isDatabaseUnavailable, ...waiting });
    if (redis) {
      await waitFor({
        what: 'Redis',
        attempt: () => connectRedis(redis),
        isPassing: isRedisUnavailable,
        ...waiting,
      });
      await assertRedisUsable(redis);
    }
    const appliedMigrations = await migrate(db);
    return {
      db,
      auditDb,
      redis,
      sealer,
      clock,
      connection,
      isEmbedded: embedded !== undefined,
      appliedMigrations,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function connectRedis(redis: Redis): Promise<void> {
  if (redis.status === 'wait' || redis.status === 'end') await redis.connect();
  await redis.ping();
}
