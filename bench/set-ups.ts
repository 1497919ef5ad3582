/**
 * What is measured: the product as its operator starts it, in a process of its own, on the embedded PostgreSQL alone
 * or on PostgreSQL and Redis. Everything that was made for it is gone afterwards.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';

import { createDatabase } from '../src/platform/database.ts';
import { randomToken } from '../src/platform/ids.ts';
import { createRedis } from '../src/platform/redis.ts';
import { runGatehouse, startGatehouseProcess } from '../test/support/gatehouse-process.ts';
import { freePort } from '../test/support/ports.ts';
import { temporaryDirectoryForAll } from '../test/support/services/bring-up.ts';
import { listProcesses, type Times, timesOf } from './processor-time.ts';
import type { TestServices } from './services.ts';

export const SET_UPS = ['embedded', 'redis'] as const;
export type SetUpName = (typeof SET_UPS)[number];

/** The parts that work for a request. Only what can be seen from here is known. */
export const PARTS = ['server', 'hashing', 'postgres', 'redis'] as const;
export type Part = (typeof PARTS)[number];

export interface SetUp {
  name: SetUpName;
  issuer: string;
  pid: number;
  /** One command of the command line beside the server. @throws Error with what it printed, when it fails */
  command: (args: readonly string[], input?: string) => Promise<unknown>;
  processorTimes: () => Promise<Record<Part, Times>>;
  stop: () => Promise<void>;
}

interface Place {
  env: Record<string, string>;
  database: string;
  redisTimes: () => Promise<Times>;
  remove: () => Promise<void>;
}

export async function startSetUp(
  name: SetUpName,
  {
    services,
    profileDirectory,
    workers,
  }: { services: TestServices; profileDirectory: string | undefined; workers: number },
): Promise<SetUp> {
  const dataDir = await mkdtemp(path.join(await temporaryDirectoryForAll(), 'gatehouse-bench-'));
  // Root's PostgreSQL runs as another user, and would keep its data elsewhere, where nobody removes them.
  await chmod(dataDir, 0o711);
  const port = await freePort();
  const removals: (() => Promise<void>)[] = [() => rm(dataDir, { recursive: true, force: true })];
  const stopAll = async (): Promise<void> => {
    while (removals.length > 0) await removals.pop()?.();
  };
  try {
    const place = name === 'embedded' ? embedded : await besideRedis(await services.start());
    removals.push(place.remove);
    const env = {
      GATEHOUSE_ENV: 'development',
      GATEHOUSE_DEMO: 'false',
      GATEHOUSE_LOG_FORMAT: 'json',
      PORT: String(port),
      GATEHOUSE_ISSUER: `http://localhost:${port}`,
      GATEHOUSE_DATA_DIR: dataDir,
      // A crowd from one address with a handful of accounts is what the throttle is for.
      GATEHOUSE_THROTTLE_ACCOUNT_FREE_FAILURES: '1000',
      GATEHOUSE_THROTTLE_ADDRESS_FREE_FAILURES: '100000',
      GATEHOUSE_WORKERS: String(workers),
      ...place.env,
    };
    const server = await startGatehouseProcess({
      ...env,
      ...(profileDirectory === undefined
        ? {}
        : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${path.resolve(profileDirectory)}` }),
    });
    // Also where this process ends without its finally blocks: nothing outlives it.
    const endServer = (): void => void server.child.kill('SIGTERM');
    process.once('exit', endServer);
    removals.push(async () => {
      await server.stop();
      process.off('exit', endServer);
    });
    const pid = server.child.pid ?? -1;
    return {
      name,
      issuer: `http://localhost:${port}`,
      pid,
      command: async (args, input) => {
        const { code, stdout, stderr } = await runGatehouse(args, env, input);
        if (code !== 0) throw new Error(`gatehouse ${args.join(' ')} ended with ${code}: ${stderr}`);
        return JSON.parse(stdout) as unknown;
      },
      processorTimes: () => readTimes(pid, { ...place, name }),
      stop: stopAll,
    };
  } catch (error) {
    await stopAll();
    throw error;
  }
}

const embedded: Place = {
  env: {},
  database: 'gatehouse',
  redisTimes: async () => new Map(),
  remove: async () => {},
};

async function besideRedis({
  databaseUrl,
  redisUrl,
}: {
  databaseUrl: string;
  redisUrl: string;
}): Promise<Place> {
  const database = `gatehouse_bench_${process.pid}_${randomToken(4)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, 'x')}`;
  const keyPrefix = database.replaceAll('_', '-');
  const admin = createDatabase({ connection: { connectionString: databaseUrl }, maxConnections: 1 });
  await admin.query(`create database ${database}`);
  const redis = createRedis({ url: redisUrl });
  await redis.connect();
  const url = new URL(databaseUrl);
  url.pathname = `/${database}`;
  return {
    env: {
      GATEHOUSE_DATABASE_URL: url.href,
      GATEHOUSE_REDIS_URL: redisUrl,
      GATEHOUSE_REDIS_KEY_PREFIX: keyPrefix,
    },
    database,
    redisTimes: async () => {
      const info = await redis.info();
      const field = (name: string): number =>
        Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1] ?? Number.NaN);
      return new Map([[field('process_id'), (field('used_cpu_sys') + field('used_cpu_user')) * 1_000_000]]);
    },
    remove: async () => {
      let cursor = '0';
      do {
        const [next, keys] = await redis.scan(cursor, 'MATCH', `${keyPrefix}:*`, 'COUNT', 1000);
        if (keys.length > 0) await redis.unlink(...keys);
        cursor = next;
      } while (cursor !== '0');
      await redis.quit();
      await admin.query(`drop database if exists ${database} with (force)`);
      await admin.close();
    },
  };
}

async function readTimes(
  server: number,
  { name, database, redisTimes }: Place & { name: SetUpName },
): Promise<Record<Part, Times>> {
  const processes = await listProcesses();
  const tree = processes.filter(({ pid }) => pid === server);
  for (const member of tree) tree.push(...processes.filter(({ parent }) => parent === member.pid));
  // Its own backends only: others may use the same PostgreSQL.
  const isBackend = ({ command }: { command: string }): boolean =>
    command.startsWith('postgres: ') && command.includes(` ${database} `);
  return {
    server: timesOf(
      tree.filter(({ pid, command }) => pid === server || command.includes('gatehouse.mjs start')),
    ),
    hashing: timesOf(tree.filter(({ command }) => command.includes('hashing/worker.ts'))),
    postgres: timesOf((name === 'embedded' ? tree : processes).filter(isBackend)),
    redis: await redisTimes(),
  };
}
