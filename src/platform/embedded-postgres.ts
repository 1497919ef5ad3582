/**
 * The PostgreSQL that comes along: a child process on the binaries of `@embedded-postgres/<platform>-<arch>`, its
 * data in `<dataDir>/postgres`, on a unix socket (or loopback) with a random password.
 *
 * - The last of its users stops it. A server and any number of commands may use it at once; a server that was killed
 *   leaves it running, and the next user finds it and goes on (embedded-postgres/lease.ts, reach.ts).
 * - One server to a data directory; a second one is refused.
 * - A database appears whole or not at all (cluster.ts); nothing is ever written beside it in `node_modules`, except
 *   the links that the package's own install script would have made (binaries.ts).
 * - As root, PostgreSQL runs as another user (account.ts), on copies where that user cannot reach (binaries.ts,
 *   places.ts).
 */
import { realpath } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { systemClock, type Clock } from './clock.ts';
import { accountForPostgres } from './embedded-postgres/account.ts';
import { prepareBinaries } from './embedded-postgres/binaries.ts';
import { createCluster, readPassword, requireSameMajorVersion } from './embedded-postgres/cluster.ts';
import { MAX_SOCKET_PATH_BYTES } from './embedded-postgres/endpoint.ts';
import { becomeServer, enter, leave } from './embedded-postgres/lease.ts';
import {
  clusterPaths,
  createBaseDirectory,
  findCluster,
  placeForCluster,
} from './embedded-postgres/places.ts';
import { isRunning, readPostmaster, stopPostmaster } from './embedded-postgres/postmaster.ts';
import { connectionTo, isPassing, reach, type Cluster, type Reached } from './embedded-postgres/reach.ts';

const DATABASE = 'gatehouse';

/** Where root keeps what PostgreSQL's user must reach; the first that can be written. */
const SHARED_DIRECTORIES = ['/var/lib/gatehouse', '/opt/gatehouse', path.join(os.tmpdir(), 'gatehouse-root')];

export interface EmbeddedPostgresLogger {
  info: (details: object, message: string) => void;
  warn: (details: object, message: string) => void;
  error: (details: object, message: string) => void;
}

export interface EmbeddedPostgresOptions {
  dataDir: string;
  /** A command beside a server, or alone: never refused, never in a server's way. Default false: a server. */
  attach?: boolean;
  logger?: EmbeddedPostgresLogger;
  /** Told in sentences what takes time or what an operator should know. */
  onProgress?: (message: string) => void;
  /** A server only: it lost the data directory to another server and must end. */
  onLost?: (error: unknown) => void;
  clock?: Clock;
  /** How long to wait for PostgreSQL to answer, recovery included. */
  timeoutMs?: number;
  /** Root only: see SHARED_DIRECTORIES. */
  sharedDirectories?: readonly string[];
  maxSocketPathBytes?: number;
}

export interface EmbeddedPostgres {
  /** `host` is the socket's folder, or 127.0.0.1. The same for as long as it is not stopped. */
  connection: { host: string; port: number; user: string; password: string; database: string };
  /** Whether we are its server, or the command that started it. */
  owned: boolean;
  /** Leaves, and stops PostgreSQL unless somebody else still uses it. Close your own connections first. */
  stop: () => Promise<void>;
}

/**
 * Brings up this data directory's PostgreSQL, or joins the one that runs.
 * @throws AppError `data_directory_in_use` (another server; its process is named), `data_directory_version` (made by
 *   another major version), `data_directory_lost`, `data_directory_not_ours`, `data_directory_unreachable`,
 *   `embedded_postgres_missing`, `embedded_postgres_unusable`, `embedded_postgres_failed`,
 *   `embedded_postgres_not_answering`, `no_unprivileged_user`
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { dataDir, attach = false, onProgress = () => {}, timeoutMs = 60_000 } = options;
  const cluster = await prepare(options);
  const role = attach ? 'command' : 'server';
  const join = async (as: { role: 'server' | 'command'; timeoutMs: number }): Promise<Reached> => {
    for (;;) {
      const reached = await reach(cluster, as);
      try {
        await enter(reached.client, as.role);
        if (as.role === 'server') await becomeServer(reached.client, dataDir);
        await ensureDatabase(reached.client);
        return reached;
      } catch (error) {
        // The last user stopped it at this very moment: once more from the start.
        const mayTryAgain = isPassing(error);
        if (!mayTryAgain && (await leave(reached.client).catch(() => false)))
          await stopRunning(cluster, options);
        await reached.client.end().catch(() => {});
        if (!mayTryAgain) throw error;
      }
    }
  };

  let current = await join({ role, timeoutMs });
  if (!attach && current.wasRunning) {
    onProgress(
      'PostgreSQL was running already (a server was killed, or a command is at work): going on with it.',
    );
  }
  const connection = connectionTo(current.postmaster.endpoint, cluster.password, DATABASE);
  let isStopped = false;
  let rejoining: Promise<void> | undefined;
  const watch = ({ client }: Reached): void => {
    client.once('end', () => {
      if (!isStopped) rejoining = rejoin();
    });
  };
  /** PostgreSQL died under a server: bring it back; the pools reconnect by themselves. */
  const rejoin = async (): Promise<void> => {
    for (;;) {
      if (isStopped) return;
      options.logger?.warn({}, 'The embedded PostgreSQL ended unexpectedly: starting it again');
      try {
        // Short, so that stop() never waits long for it.
        current = await join({ role, timeoutMs: 10_000 });
        watch(current);
        return;
      } catch (error) {
        if ((error as { code?: string }).code === 'data_directory_in_use') {
          options.logger?.error({ err: error }, 'Another server has taken over the data directory');
          options.onLost?.(error);
          return;
        }
        options.logger?.error({ err: error }, 'The embedded PostgreSQL could not be started again');
        await delay(1_000);
      }
    }
  };
  if (!attach) watch(current);

  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    isStopped = true;
    await rejoining;
    let isLast: boolean;
    try {
      isLast = await leave(current.client);
    } catch {
      // Our connection is gone, and our locks with it; PostgreSQL may be there all the same.
      if (!(await isUp(cluster))) return;
      current = await join({ role: 'command', timeoutMs: 5_000 });
      isLast = await leave(current.client);
    }
    if (isLast) await stopRunning(cluster, options);
    else options.logger?.info({}, 'Somebody else still uses the embedded PostgreSQL: it keeps running');
    await current.client.end().catch(() => {});
  };
  return {
    connection,
    owned: !attach || !current.wasRunning,
    stop: () => (stopping ??= stop()),
  };
}

/** Everything that must be there before PostgreSQL can start: programs, user, files. */
async function prepare(options: EmbeddedPostgresOptions): Promise<Cluster> {
  const {
    dataDir,
    onProgress = () => {},
    clock = systemClock,
    sharedDirectories = SHARED_DIRECTORIES,
  } = options;
  const base = await createBaseDirectory(dataDir);
  const existing = await findCluster(base);
  const account = await accountForPostgres(clusterPaths(existing ?? path.join(base, 'cluster')).pgdata);
  const binaries = await prepareBinaries({
    account,
    copyDirectories: account ? sharedDirectories : [base],
    onProgress,
  });
  let directory = existing;
  if (directory === undefined) {
    onProgress('First start: creating the database …');
    if (account) onProgress(`PostgreSQL does not run as root; it runs as "${account.name}".`);
    const home = await placeForCluster({ base, account, sharedDirectories, onProgress });
    directory = await createCluster({ home, binaries, account, clock });
  }
  // The real path: it is compared with the one that the system tells of a process.
  const paths = clusterPaths(await realpath(directory));
  await requireSameMajorVersion(paths, binaries);
  const password = await readPassword(paths);
  return {
    paths,
    binaries,
    account,
    password,
    maxSocketPathBytes: options.maxSocketPathBytes ?? MAX_SOCKET_PATH_BYTES,
  };
}

async function ensureDatabase(client: pg.Client): Promise<void> {
  const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [DATABASE]);
  if (rowCount) return;
  try {
    await client.query(`create database ${DATABASE} template template0`);
  } catch (error) {
    // duplicate_database, unique_violation: another process made it at the same moment.
    if (!['42P04', '23505'].includes((error as { code?: string }).code ?? '')) throw error;
  }
}

async function isUp({ paths }: Cluster): Promise<boolean> {
  const postmaster = await readPostmaster(paths);
  return postmaster !== undefined && isRunning(postmaster, paths);
}

async function stopRunning({ paths }: Cluster, { logger }: EmbeddedPostgresOptions): Promise<void> {
  const postmaster = await readPostmaster(paths);
  if (!postmaster) return;
  if (await stopPostmaster(postmaster, paths)) return;
  logger?.error({ pid: postmaster.pid }, 'The embedded PostgreSQL does not stop');
}
