/**
 * A Gatehouse as an operator runs it: server processes over a PostgreSQL and a Redis that belong to this test alone and
 * may be frozen, stopped and killed.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';

import { createInlineHasher } from '../../src/accounts/hashing/inline.ts';
import { loadConfig } from '../../src/config/load.ts';
import { createLogger } from '../../src/platform/logger.ts';
import { openState } from '../../src/state.ts';
import { createSubjects, type Subjects } from '../../src/subjects.ts';
import { startGatehouseProcess, type GatehouseProcess } from './gatehouse-process.ts';
import { TEST_SECRET_KEY, type StoreKind } from './gatehouse.ts';
import { freePort } from './ports.ts';
import { temporaryDirectoryForAll } from './services/bring-up.ts';
import { embeddedPostgres, startPostgres, type PostgresServer } from './services/postgres.ts';
import { startRedis, type RedisServer } from './services/redis.ts';

const CONFIG_DIRECTORY = path.join(import.meta.dirname, '..', '..', 'config');

export interface Deployment {
  issuer: string;
  /** A folder of its own, removed at the end. */
  directory: string;
  /** For arranging things, past the servers. */
  subjects: Subjects;
  postgres: PostgresServer;
  redis: RedisServer | undefined;
  secretKey: string;
  /** The settings of a server process. */
  env: Record<string, string>;
  startServer: (env?: Record<string, string>) => Promise<GatehouseProcess>;
  /** Ends whatever still runs of it. */
  stop: () => Promise<void>;
}

/** @param env settings as an operator gives them, over the test profile's */
export async function createDeployment({
  store,
  port,
  env: settings = {},
}: {
  store: StoreKind;
  /** What the issuer is reached at; else a free one. */
  port?: number;
  env?: Record<string, string>;
}): Promise<Deployment> {
  const directory = await mkdtemp(path.join(await temporaryDirectoryForAll(), 'gh-deployment-'));
  await chmod(directory, 0o755);
  const closing: (() => Promise<unknown>)[] = [() => rm(directory, { recursive: true, force: true })];
  const stop = async (): Promise<void> => {
    for (const close of closing.splice(0).toReversed()) await close();
  };
  try {
    const programs = await embeddedPostgres(directory);
    const postgres = await startPostgres({ programs, name: 'postgres', directory });
    closing.push(() => postgres.stop());
    const redis = store === 'redis' ? await startRedis({ directory, isKept: true }) : undefined;
    if (redis) closing.push(() => redis.stop());

    const at = port ?? (await freePort());
    const env: Record<string, string> = {
      GATEHOUSE_ENV: 'test',
      PORT: String(at),
      GATEHOUSE_ISSUER: `http://localhost:${at}`,
      GATEHOUSE_DATA_DIR: path.join(directory, 'data'),
      GATEHOUSE_DATABASE_URL: postgres.url,
      GATEHOUSE_SECRET_KEY: TEST_SECRET_KEY,
      // What says that a process is ready.
      GATEHOUSE_LOG_LEVEL: 'info',
      ...(redis ? { GATEHOUSE_REDIS_URL: redis.url } : {}),
      ...settings,
    };
    const loaded = loadConfig({ env, configDirectory: CONFIG_DIRECTORY });
    if (loaded.kind === 'problems') throw new Error(JSON.stringify(loaded.problems));
    const { config } = loaded;
    const logger = createLogger({ level: 'fatal', format: 'json' });
    const state = await openState({ config, logger, isCommand: true });
    const hasher = createInlineHasher();
    const subjects = createSubjects({ config, logger, state, hasher });
    closing.push(async () => {
      await subjects.audit.close();
      await state.close();
    });

    return {
      issuer: config.issuer,
      directory,
      subjects,
      postgres,
      redis,
      secretKey: TEST_SECRET_KEY,
      env,
      stop,
      startServer: async (own = {}) => {
        const server = await startGatehouseProcess({ ...env, ...own });
        closing.push(async () => {
          if (server.child.exitCode === null && server.child.signalCode === null) await server.stop();
        });
        return server;
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
