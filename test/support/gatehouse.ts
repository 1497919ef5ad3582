import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { createServer, type Server, type ServerOptions } from '../../src/app.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { createLogger } from '../../src/platform/logger.ts';
import { randomToken } from '../../src/platform/ids.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';
import { freePort } from './ports.ts';
import { testRedisUrl } from './redis.ts';

export const TEST_SECRET_KEY = 'a-secret-key-for-tests-only-0123456789abcdef';
const CONFIG_DIRECTORY = path.join(import.meta.dirname, '..', '..', 'config');

export type StoreKind = 'redis' | 'postgres';

export interface TestServer extends Server {
  issuer: string;
  database: TestDatabase;
  /** The settings as environment variables: a second process with these serves the same deployment. */
  env: Record<string, string>;
  /** Stops, and leaves the database to others. */
  stopAlone: () => Promise<void>;
}

export interface TestServerOptions {
  store?: StoreKind;
  /** Settings as an operator gives them, over the test profile's. */
  env?: Record<string, string>;
  clock?: Clock;
  decorateStore?: ServerOptions['decorateStore'];
  fastPaths?: ServerOptions['fastPaths'];
  /** Shares another server's database and Redis. */
  sharing?: TestServer;
}

/** A whole Gatehouse in this process, on a loopback port and a database of its own. `stop` removes both. */
export async function startGatehouse(options: TestServerOptions = {}): Promise<TestServer> {
  const { store = 'postgres', clock, sharing } = options;
  const database = sharing?.database ?? (await createTestDatabase());
  const port = await freePort(3);
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'gh-test-'));
  const env: Record<string, string> = {
    GATEHOUSE_ENV: 'test',
    PORT: String(port),
    GATEHOUSE_ISSUER: sharing?.issuer ?? `http://localhost:${port}`,
    GATEHOUSE_DATA_DIR: dataDir,
    GATEHOUSE_DATABASE_URL: database.connectionString,
    GATEHOUSE_SECRET_KEY: TEST_SECRET_KEY,
    ...(store === 'redis'
      ? {
          GATEHOUSE_REDIS_URL: testRedisUrl(),
          GATEHOUSE_REDIS_KEY_PREFIX:
            sharing?.env['GATEHOUSE_REDIS_KEY_PREFIX'] ?? `gh-test-${randomToken(6)}`,
        }
      : {}),
    ...options.env,
  };
  const loaded = loadConfig({ env, configDirectory: CONFIG_DIRECTORY });
  if (loaded.kind === 'problems') throw new Error(JSON.stringify(loaded.problems));
  const { config } = loaded;
  const server = await createServer({
    config,
    logger: createLogger({ level: config.log.level, format: config.log.format }),
    version: 'test',
    ...(clock ? { clock } : {}),
    ...(options.fastPaths ? { fastPaths: options.fastPaths } : {}),
    ...(options.decorateStore ? { decorateStore: options.decorateStore } : {}),
  });
  return {
    ...server,
    issuer: config.issuer,
    database,
    env,
    stopAlone: server.stop,
    stop: async () => {
      await server.stop();
      if (!sharing) await database.drop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
