import { createConnection } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { AppError } from '../errors.ts';
import type { OsAccount } from './account.ts';
import type { Binaries } from './binaries.ts';
import { DATABASE_USER } from './cluster.ts';
import { chooseEndpoint, type Endpoint } from './endpoint.ts';
import type { ClusterPaths } from './places.ts';
import {
  endOfLog,
  isRunning,
  launch,
  readPostmaster,
  removeStrangersPidFile,
  type Launched,
  type Postmaster,
} from './postmaster.ts';

export interface Cluster {
  paths: ClusterPaths;
  binaries: Binaries;
  account: OsAccount | undefined;
  password: string;
  maxSocketPathBytes: number;
}

export interface Reached {
  client: pg.Client;
  postmaster: Postmaster;
  /** Whether PostgreSQL ran already (a server beside us, or one that a killed process left). */
  wasRunning: boolean;
}

const MAX_LAUNCHES = 6;

/**
 * What PostgreSQL says when another process was faster, when processes of one that was killed are about to end, or
 * when its port is taken.
 */
const MAY_PASS =
  /lock file|shared memory block|could not (bind|create any|create lock)|Address already in use/i;

/**
 * A connection to this directory's PostgreSQL, which is started where it does not run and awaited where it is
 * starting, recovering or stopping. Needs no lock of ours: of two PostgreSQL started at once, one refuses to run.
 * @throws AppError `embedded_postgres_failed`, `embedded_postgres_not_answering`
 */
export async function reach(cluster: Cluster, { timeoutMs }: { timeoutMs: number }): Promise<Reached> {
  const { paths } = cluster;
  const deadline = performance.now() + timeoutMs;
  let child: Launched | undefined;
  let launches = 0;
  let problem: unknown;
  while (performance.now() < deadline) {
    const postmaster = await readPostmaster(paths);
    if (postmaster && ((await isRunning(postmaster, paths)) || (await listens(postmaster.endpoint)))) {
      if (postmaster.isReady) {
        try {
          const client = await connect(cluster, postmaster.endpoint);
          return { client, postmaster, wasRunning: child?.pid !== postmaster.pid };
        } catch (error) {
          if (!isPassing(error)) throw refused(error);
          problem = error;
        }
      }
    } else if (child === undefined || child.hasEnded()) {
      if (child !== undefined) {
        const log = await endOfLog(paths);
        if (launches === MAX_LAUNCHES || !MAY_PASS.test(log)) throw failed(log);
      }
      if (postmaster) await removeStrangersPidFile(postmaster, paths);
      // The second try after one that failed: the place that was remembered may be taken.
      const endpoint = await chooseEndpoint({ ...cluster, mayRemember: launches < 2 });
      child = await launch({ ...cluster, endpoint });
      launches += 1;
    }
    await delay(launches > 1 ? launches * 100 : 15);
  }
  const postmaster = await readPostmaster(paths);
  throw new AppError(
    'embedded_postgres_not_answering',
    500,
    `PostgreSQL (process ${postmaster?.pid ?? 'unknown'}) did not answer within ${Math.round(timeoutMs / 1000)} s ` +
      `(${problem instanceof Error ? problem.message : 'it is still starting or stopping'}). If no Gatehouse uses it, ` +
      `end it with \`kill -INT <process>\`. Its log: ${paths.logFile}`,
  );
}

/**
 * Whether something listens at the socket. In a container that shares the folder with another one, PostgreSQL's
 * process cannot be seen; a second PostgreSQL would then destroy the data. Nobody listens at a dead one's socket.
 */
function listens(endpoint: Endpoint): Promise<boolean> {
  if (endpoint.kind !== 'socket') return Promise.resolve(false);
  return new Promise((resolve) => {
    const socket = createConnection(path.join(endpoint.directory, `.s.PGSQL.${endpoint.port}`));
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

async function connect({ password }: Cluster, endpoint: Endpoint): Promise<pg.Client> {
  const client = new pg.Client({
    ...connectionTo(endpoint, password, 'postgres'),
    ssl: false,
    keepAlive: true,
    connectionTimeoutMillis: 5_000,
  });
  // Without a listener an error on an idle connection would end the process; 'end' tells us all we need.
  client.on('error', () => {});
  await client.connect();
  return client;
}

export function connectionTo(
  endpoint: Endpoint,
  password: string,
  database: string,
): { host: string; port: number; user: string; password: string; database: string } {
  const host = endpoint.kind === 'socket' ? endpoint.directory : '127.0.0.1';
  return { host, port: endpoint.port, user: DATABASE_USER, password, database };
}

/** Whether a PostgreSQL that is starting or stopping is the reason: worth another try. */
export function isPassing(error: unknown): boolean {
  const { code = '', message = '' } = error as { code?: string; message?: string };
  return (
    ['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EPIPE', 'EAGAIN'].includes(code) ||
    /^(57P0|08|53300)/.test(code) ||
    /Connection terminated|timeout|not queryable/i.test(message)
  );
}

function refused(cause: unknown): AppError {
  return new AppError(
    'embedded_postgres_failed',
    500,
    `The embedded PostgreSQL refused us: ${cause instanceof Error ? cause.message : String(cause)}`,
    { cause },
  );
}

function failed(log: string): AppError {
  return new AppError(
    'embedded_postgres_failed',
    500,
    `The embedded PostgreSQL does not start. It says:\n${log}`,
  );
}
