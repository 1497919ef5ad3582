import { randomBytes } from 'node:crypto';
import { chown, mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { createDatabase } from '../../../src/platform/database.ts';
import { accountForPostgres, cleanEnvironment } from '../../../src/platform/embedded-postgres/account.ts';
import { prepareBinaries } from '../../../src/platform/embedded-postgres/binaries.ts';
import { runProgram, startProcess, startService } from './process.ts';

export interface PostgresServer {
  url: string;
  /** Of the process that runs now; those of its connections are its children. */
  pid: () => number;
  /** Ends its connections and stops it; what it held is kept. With SIGQUIT at once, as if it had crashed. */
  stop: (signal?: 'SIGINT' | 'SIGQUIT') => Promise<void>;
  /** Starts it once more after a stop, at the same address. */
  startAgain: () => Promise<void>;
}

/** Where the programs `initdb` and `postgres` are. */
export interface PostgresPrograms {
  initdb: string;
  postgres: string;
}

/** The PostgreSQL that npm brought, copied to below `directory` where its user cannot reach the clone. */
export async function embeddedPostgres(directory: string): Promise<PostgresPrograms> {
  return prepareBinaries({
    account: await accountForPostgres(directory),
    copyDirectories: [directory],
    onProgress: () => {},
  });
}

/**
 * A PostgreSQL of our own on loopback with its data in the folder `name` below `directory`, which everybody must be
 * able to enter: where we are root, it runs as another user. Ready for many connections, and durable enough for
 * everything but a power failure, which no test brings about.
 *
 * @param isDurable whether a commit reaches the disk after all: where its cost is measured
 */
export async function startPostgres({
  programs,
  name,
  directory,
  isDurable = false,
}: {
  programs: PostgresPrograms;
  name: string;
  directory: string;
  isDurable?: boolean;
}): Promise<PostgresServer> {
  const home = path.join(directory, name);
  const dataDirectory = path.join(home, 'data');
  const logFile = path.join(home, 'postgres.log');
  const passwordFile = path.join(home, 'password');
  const password = randomBytes(16).toString('hex');
  const account = await accountForPostgres(dataDirectory);
  await mkdir(home, { mode: 0o700 });
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (account) {
    await chown(home, account.uid, account.gid);
    await chown(passwordFile, account.uid, account.gid);
  }

  const options = {
    ...(account && { uid: account.uid, gid: account.gid }),
    cwd: home,
    env: cleanEnvironment(),
    logFile,
  };
  await runProgram(
    programs.initdb,
    [
      `--pgdata=${dataDirectory}`,
      '--username=postgres',
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--no-sync',
    ],
    options,
  );
  await rm(passwordFile);

  const urlAt = (port: number): string => `postgres://postgres:${password}@127.0.0.1:${port}/postgres`;
  const start = (atPort?: number): ReturnType<typeof startService> =>
    startService({
      name: 'PostgreSQL',
      logFile,
      ...(atPort !== undefined && { atPort }),
      start: (port) =>
        startProcess(programs.postgres, ['-D', dataDirectory, ...settings(port, isDurable)], options),
      isReady: (port) => answersQuery(urlAt(port)),
    });
  const first = await start();
  const { port } = first;
  let server = first.process;
  return {
    url: urlAt(port),
    pid: () => server.pid,
    // PostgreSQL's fast shutdown: it ends the connections that tests forgot.
    stop: (signal = 'SIGINT') => server.stop(signal),
    startAgain: async () => {
      ({ process: server } = await start(port));
    },
  };
}

function settings(port: number, isDurable: boolean): string[] {
  const values = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: 300,
    shared_buffers: '128MB',
    ...(isDurable ? {} : { fsync: 'off', full_page_writes: 'off' }),
    max_wal_size: '2GB',
    log_min_messages: 'warning',
  };
  return Object.entries(values).map(([name, value]) => `--${name}=${value}`);
}

async function answersQuery(connectionString: string): Promise<boolean> {
  const db = createDatabase({ connection: { connectionString }, maxConnections: 1, connectTimeoutMs: 2_000 });
  try {
    await db.ping();
    return true;
  } catch {
    return false;
  } finally {
    await db.close();
  }
}
