/** PostgreSQL and Redis for the set-up that needs them: the tests' where the environment names them, else our own. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';

import { temporaryDirectoryForAll } from '../test/support/services/bring-up.ts';
import { embeddedPostgres, startPostgres } from '../test/support/services/postgres.ts';
import { ensurePrograms, REDIS } from '../test/support/services/programs.ts';
import { startRedis } from '../test/support/services/redis.ts';

export interface TestServices {
  /** Brings them up at the first call. */
  start: () => Promise<{ databaseUrl: string; redisUrl: string }>;
  stop: () => Promise<void>;
}

export function createTestServices(given: NodeJS.ProcessEnv, say: (message: string) => void): TestServices {
  const stops: (() => Promise<void>)[] = [];
  let started: ReturnType<TestServices['start']> | undefined;

  const start: TestServices['start'] = async () => {
    const directory = await mkdtemp(path.join(await temporaryDirectoryForAll(), 'gatehouse-bench-services-'));
    stops.push(() => rm(directory, { recursive: true, force: true }));
    await chmod(directory, 0o755);
    return {
      databaseUrl: given['GATEHOUSE_TEST_DATABASE_URL'] || (await postgres(directory)),
      redisUrl: given['GATEHOUSE_TEST_REDIS_URL'] || (await redis(directory)),
    };
  };
  const postgres = async (directory: string): Promise<string> => {
    const { url, stop } = await startPostgres({
      name: 'postgres',
      programs: await embeddedPostgres(directory),
      directory,
      isDurable: true,
    });
    stops.push(stop);
    return url;
  };
  const redis = async (directory: string): Promise<string> => {
    ensurePrograms([REDIS], say);
    const { url, stop } = await startRedis({ directory });
    stops.push(stop);
    return url;
  };

  return {
    start: () => (started ??= start()),
    stop: async () => {
      while (stops.length > 0) await stops.pop()?.();
    },
  };
}
