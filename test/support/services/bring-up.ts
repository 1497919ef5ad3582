import { chmod, mkdtemp, realpath, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { embeddedPostgres, startPostgres } from './postgres.ts';
import {
  CHROMIUM,
  HAPROXY,
  OPENSSL,
  REDIS,
  ensurePrograms,
  findDebianPostgres,
  findProgram,
  type Program,
} from './programs.ts';
import { startRedis } from './redis.ts';

export interface Services {
  /** A folder of the run's own that every user may enter. */
  directory: string;
  /** What the tests find in their environment: GATEHOUSE_TEST_DATABASE_URL and its siblings. */
  environment: Record<string, string>;
  /** Starts Debian's PostgreSQL of that major version too. @returns its URL; undefined where it is not installed */
  startDebianPostgres: (major: number) => Promise<string | undefined>;
  /** Ends everything, the newest first, and removes the folder. */
  stop: () => Promise<void>;
}

/**
 * Brings up what the tests need: PostgreSQL from the embedded binaries and Redis, each unless `given` names one, and
 * finds the browser, the balancer and what makes a guide's certificates. Whatever is missing is installed where that is possible.
 *
 * @param isWhole whether all tests are to run; for some of them those three may be missing
 * @throws Error that tells what to install; nothing is left running then
 */
export async function bringUpServices({
  given,
  isWhole,
  say,
}: {
  given: NodeJS.ProcessEnv;
  isWhole: boolean;
  say: (message: string) => void;
}): Promise<Services> {
  const databaseUrl = given['GATEHOUSE_TEST_DATABASE_URL'];
  const redisUrl = given['GATEHOUSE_TEST_REDIS_URL'];
  ensurePrograms([...(redisUrl ? [] : [REDIS]), ...(isWhole ? [CHROMIUM, HAPROXY, OPENSSL] : [])], say);

  const directory = await mkdtemp(path.join(await temporaryDirectoryForAll(), 'gatehouse-test-'));
  await chmod(directory, 0o755);
  const stops: (() => Promise<void>)[] = [() => rm(directory, { recursive: true, force: true })];
  const stop = async (): Promise<void> => {
    while (stops.length > 0) await stops.pop()?.();
  };
  const started = async (server: Promise<{ url: string; stop: () => Promise<void> }>): Promise<string> => {
    const { url, stop: stopServer } = await server;
    stops.push(stopServer);
    return url;
  };

  try {
    const environment = {
      GATEHOUSE_TEST_REDIS_URL: redisUrl || (await started(startRedis({ directory }))),
      GATEHOUSE_TEST_DATABASE_URL:
        databaseUrl ||
        (await started(
          startPostgres({ name: 'postgres', programs: await embeddedPostgres(directory), directory }),
        )),
      ...whereFound('GATEHOUSE_TEST_CHROMIUM', CHROMIUM),
      ...whereFound('GATEHOUSE_TEST_HAPROXY', HAPROXY),
    };
    return {
      directory,
      environment,
      startDebianPostgres: async (major) => {
        const programs = findDebianPostgres(major);
        if (programs === undefined) return undefined;
        return started(startPostgres({ name: `postgres-${major}`, programs, directory }));
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function whereFound(variable: string, program: Program): Record<string, string> {
  const file = findProgram(program);
  return file === undefined ? {} : { [variable]: file };
}

/** The system's temporary folder, unless TMPDIR leads below one that only its owner may enter. */
export async function temporaryDirectoryForAll(): Promise<string> {
  const chosen = await realpath(tmpdir());
  if (process.getuid?.() !== 0) return chosen;
  for (let directory = chosen; directory !== path.dirname(directory); directory = path.dirname(directory)) {
    if (((await stat(directory)).mode & 0o001) === 0) return '/tmp';
  }
  return chosen;
}
