import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { execFile, spawnSync } from 'node:child_process';
import { lstat, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { startEmbeddedPostgres } from '../../../src/platform/embedded-postgres.ts';
import {
  createFolder,
  isAlive,
  postgresPid,
  query,
  spawnUser,
  until,
} from '../../support/embedded-postgres/spawn.ts';

// Databases are made and synchronised to a disk that may be slow.
jest.setTimeout(60_000);

let folder: Awaited<ReturnType<typeof createFolder>>;
let dataDir: string;
let home: string;
let prepared: Awaited<ReturnType<typeof createFolder>>;

beforeAll(async () => {
  prepared = await createFolder();
  await (await startEmbeddedPostgres({ dataDir: path.join(prepared.path, 'data') })).stop();
});

afterAll(() => prepared.remove());

/** A copy of a database that was made once: for whatever is not about the first start. */
async function notTheFirstStart(): Promise<void> {
  await mkdir(path.dirname(dataDir), { recursive: true });
  await promisify(execFile)('cp', ['-a', path.join(prepared.path, 'data'), dataDir]);
}

/** Whether some server holds the lease on the database (src/platform/embedded-postgres/lease.ts). */
async function isServed(connection: Parameters<typeof query>[0]): Promise<boolean> {
  const rows = await query(
    connection,
    `select 1 from pg_locks where locktype = 'advisory' and granted and mode = 'ExclusiveLock'`,
  );
  return rows.length > 0;
}

beforeEach(async () => {
  folder = await createFolder();
  dataDir = path.join(folder.path, 'data');
  home = path.join(dataDir, 'postgres');
});

/** Nothing may be left running, whatever the test did. */
afterEach(async () => {
  const pid = await postgresPid(home).catch(() => undefined);
  if (pid !== undefined && isAlive(pid)) process.kill(pid, 'SIGQUIT');
  await folder.remove();
});

describe('starting and stopping', () => {
  it('makes a UTF-8 database that is durable, asks for its password, and is closed to other users', async () => {
    const progress: string[] = [];
    const embedded = await startEmbeddedPostgres({
      dataDir,
      onProgress: (message) => progress.push(message),
    });
    try {
      expect(embedded.owned).toBe(true);
      expect(progress[0]).toMatch(/creating the database/);
      const [settings] = await query(
        embedded.connection,
        `select current_database() as database, pg_encoding_to_char(encoding) as encoding,
                current_setting('fsync') as fsync, current_setting('synchronous_commit') as synchronous_commit,
                current_setting('full_page_writes') as full_page_writes, current_setting('listen_addresses') as listen,
                lower('ÄRGER') as lowered, current_setting('TimeZone') as zone
           from pg_database where datname = current_database()`,
      );
      expect(settings).toEqual({
        database: 'gatehouse',
        encoding: 'UTF8',
        fsync: 'on',
        synchronous_commit: 'on',
        full_page_writes: 'on',
        listen: '',
        lowered: 'ärger',
        zone: 'UTC',
      });
      await expect(query({ ...embedded.connection, password: 'wrong' }, 'select 1')).rejects.toMatchObject({
        code: '28P01',
      });
      expect((await stat(path.join(home, 'cluster', 'password'))).mode & 0o777).toBe(0o600);
      expect((await stat(embedded.connection.host)).mode & 0o777).toBe(0o700);
    } finally {
      await embedded.stop();
    }
    expect(await readdir(home)).toEqual(['cluster']);
  });

  it('keeps data over a restart, and leaves no process behind', async () => {
    await notTheFirstStart();
    const first = await startEmbeddedPostgres({ dataDir });
    await query(first.connection, 'create table kept as select 42 as answer');
    const pid = await postgresPid(home);
    await first.stop();
    expect(isAlive(pid)).toBe(false);

    const second = await startEmbeddedPostgres({ dataDir });
    try {
      expect(second.connection).toEqual(first.connection);
      expect(await query(second.connection, 'select answer from kept')).toEqual([{ answer: 42 }]);
    } finally {
      await second.stop();
    }
  });

  it('can be stopped twice', async () => {
    await notTheFirstStart();
    const embedded = await startEmbeddedPostgres({ dataDir });
    await Promise.all([embedded.stop(), embedded.stop()]);
    await embedded.stop();
  });

  it('ends the sessions that somebody forgot', async () => {
    await notTheFirstStart();
    const server = spawnUser({ dataDir });
    const { connection } = await server.hears('ready');
    const forgotten = query(connection, 'select pg_sleep(60)').catch((error: { code: string }) => error.code);
    await until(async () => {
      const [row] = await query(
        connection,
        "select count(*)::int as n from pg_stat_activity where query like '%sleep(60)'",
      );
      return (row?.['n'] as number) >= 1;
    });
    await server.stop();
    expect(await forgotten).toBe('57P01');
  });

  it('is not reached by a signal to our group, as Ctrl-C in a terminal is', async () => {
    await notTheFirstStart();
    const server = spawnUser({ dataDir });
    const { connection } = await server.hears('ready');
    process.kill(-server.pid, 'SIGINT');
    await until(() => !isAlive(server.pid));
    expect(await query(connection, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  it('comes back when PostgreSQL is killed under a server', async () => {
    await notTheFirstStart();
    const server = await startEmbeddedPostgres({ dataDir });
    try {
      await query(server.connection, 'create table kept as select 42 as answer');
      const pid = await postgresPid(home);
      process.kill(pid, 'SIGKILL');
      await until(async () => (await postgresPid(home).catch(() => pid)) !== pid);
      // PostgreSQL answers a moment before the server has it again; whoever comes in between becomes the server.
      await until(() => isServed(server.connection).catch(() => false));
      expect(await query(server.connection, 'select answer from kept')).toEqual([{ answer: 42 }]);
      await expect(startEmbeddedPostgres({ dataDir })).rejects.toMatchObject({
        code: 'data_directory_in_use',
      });
    } finally {
      await server.stop();
    }
    expect(await postgresPid(home).catch(() => undefined)).toBeUndefined();
  });

  it('gives up at once, with what PostgreSQL said, where it cannot run', async () => {
    await notTheFirstStart();
    await writeFile(path.join(home, 'cluster', 'pgdata', 'postgresql.conf'), 'no_such_setting = 1\n');
    await expect(startEmbeddedPostgres({ dataDir })).rejects.toMatchObject({
      code: 'embedded_postgres_failed',
      message: expect.stringContaining('no_such_setting'),
    });
  });
});

describe('after kill -9 of the server', () => {
  it('goes on with the PostgreSQL that was left, and stops it in the end', async () => {
    await notTheFirstStart();
    const killed = spawnUser({ dataDir });
    const { connection } = await killed.hears('ready');
    await query(connection, 'create table kept as select 42 as answer');
    await killed.kill();
    const pid = await postgresPid(home);
    expect(isAlive(pid)).toBe(true);

    const progress: string[] = [];
    const next = await startEmbeddedPostgres({ dataDir, onProgress: (message) => progress.push(message) });
    expect(await postgresPid(home)).toBe(pid);
    expect(next.owned).toBe(true);
    expect(progress).toEqual([expect.stringContaining('running already')]);
    expect(await query(next.connection, 'select answer from kept')).toEqual([{ answer: 42 }]);
    await next.stop();
    expect(isAlive(pid)).toBe(false);
  });

  it('a command that finds what was left stops it too', async () => {
    await notTheFirstStart();
    const killed = spawnUser({ dataDir });
    await killed.hears('ready');
    await killed.kill();
    const pid = await postgresPid(home);
    const command = await startEmbeddedPostgres({ dataDir, attach: true });
    await command.stop();
    expect(isAlive(pid)).toBe(false);
  });

  it('recovers when PostgreSQL was killed as well', async () => {
    await notTheFirstStart();
    const killed = spawnUser({ dataDir });
    const { connection } = await killed.hears('ready');
    await query(connection, 'create table kept as select 42 as answer');
    const pid = await postgresPid(home);
    await killed.kill();
    process.kill(pid, 'SIGKILL');
    await until(() => !isAlive(pid));

    const next = await startEmbeddedPostgres({ dataDir });
    expect(await query(next.connection, 'select answer from kept')).toEqual([{ answer: 42 }]);
    await next.stop();
  });

  it('starts although the pid file names a process that is somebody else', async () => {
    await notTheFirstStart();
    const file = path.join(home, 'cluster', 'pgdata', 'postmaster.pid');
    // This very test's process, or its parent's, would be taken for a server by PostgreSQL.
    const pgdata = path.dirname(file);
    await writeFile(file, `${process.pid}\n${pgdata}\n1\n5432\n${home}/cluster/socket\n\n1 1\nready   \n`);
    // And so would the one that the socket's own lock file names.
    const lock = path.join(home, 'cluster', 'socket', '.s.PGSQL.5432.lock');
    await writeFile(lock, `${process.pid}\n${pgdata}\n1\n5432\n${path.dirname(lock)}\n`);
    const embedded = await startEmbeddedPostgres({ dataDir });
    expect(await postgresPid(home)).not.toBe(process.pid);
    await embedded.stop();
  });

  it('leaves nothing half-made when it is killed in the middle of its first start', async () => {
    const killed = spawnUser({ dataDir });
    await until(async () =>
      (await readdir(home).catch(() => [])).some((name) => name.startsWith('cluster.new-')),
    );
    await killed.kill();
    const embedded = await startEmbeddedPostgres({ dataDir });
    expect(await query(embedded.connection, 'select 1 as one')).toEqual([{ one: 1 }]);
    await embedded.stop();
  });
});

describe('several at once', () => {
  it('refuses a second server, and names the first', async () => {
    await notTheFirstStart();
    const server = spawnUser({ dataDir });
    const { connection } = await server.hears('ready');
    await expect(startEmbeddedPostgres({ dataDir })).rejects.toMatchObject({
      code: 'data_directory_in_use',
      status: 409,
      message: expect.stringContaining(`process ${server.pid}`),
    });
    expect(await query(connection, 'select 1 as one')).toEqual([{ one: 1 }]);
    await server.stop();
  });

  it('starts no second PostgreSQL on files whose process it cannot see, as from another container', async () => {
    await notTheFirstStart();
    const server = spawnUser({ dataDir });
    await server.hears('ready');
    const file = path.join(home, 'cluster', 'pgdata', 'postmaster.pid');
    const original = await readFile(file, 'utf8');
    const { pid: gone } = spawnSync('true');
    await writeFile(file, original.replace(/^\d+/, String(gone)));
    try {
      await expect(startEmbeddedPostgres({ dataDir })).rejects.toMatchObject({
        code: 'data_directory_in_use',
      });
      expect(await postgresPid(home)).toBe(gone);
    } finally {
      await writeFile(file, original);
      await server.stop();
    }
  });

  it('lets exactly one of four servers win that are started at the same moment, first start included', async () => {
    const servers = Array.from({ length: 4 }, () => spawnUser({ dataDir }));
    const outcomes = await Promise.all(
      servers.map((server) =>
        Promise.race(
          [server.hears('ready'), server.hears('failed')].map((p) =>
            p.catch(() => new Promise<never>(() => {})),
          ),
        ),
      ),
    );
    expect(outcomes.filter(({ kind }) => kind === 'ready')).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.kind === 'failed') expect(outcome.code).toBe('data_directory_in_use');
    }
    const pid = await postgresPid(home);
    await Promise.all(servers.map((server) => server.stop()));
    expect(isAlive(pid)).toBe(false);
    expect(await readdir(home)).toEqual(['cluster']);
  });

  it('lets commands work beside a server, which stays', async () => {
    await notTheFirstStart();
    const server = spawnUser({ dataDir });
    const { connection } = await server.hears('ready');
    const command = await startEmbeddedPostgres({ dataDir, attach: true });
    expect(command.owned).toBe(false);
    expect(command.connection).toEqual(connection);
    await command.stop();
    expect(await query(connection, 'select 1 as one')).toEqual([{ one: 1 }]);
    await server.stop();
  });

  it('lets a command work while the server is starting for the first time', async () => {
    const server = spawnUser({ dataDir });
    const command = await startEmbeddedPostgres({ dataDir, attach: true });
    const { connection } = await server.hears('ready');
    expect(command.connection).toEqual(connection);
    expect(await query(command.connection, 'select 1 as one')).toEqual([{ one: 1 }]);
    await command.stop();
    expect(await query(connection, 'select 1 as one')).toEqual([{ one: 1 }]);
    await server.stop();
  });

  it('starts PostgreSQL for a command alone, and stops it after', async () => {
    const command = await startEmbeddedPostgres({ dataDir, attach: true });
    expect(command.owned).toBe(true);
    const pid = await postgresPid(home);
    await command.stop();
    expect(isAlive(pid)).toBe(false);
  });

  it('passes a command’s PostgreSQL on to the server that starts meanwhile', async () => {
    await notTheFirstStart();
    const command = await startEmbeddedPostgres({ dataDir, attach: true });
    const pid = await postgresPid(home);
    const server = await startEmbeddedPostgres({ dataDir });
    await command.stop();
    expect(await postgresPid(home)).toBe(pid);
    expect(await query(server.connection, 'select 1 as one')).toEqual([{ one: 1 }]);
    await server.stop();
    expect(isAlive(pid)).toBe(false);
  });

  it('leaves PostgreSQL to a command that outlasts the server', async () => {
    await notTheFirstStart();
    const server = await startEmbeddedPostgres({ dataDir });
    const command = await startEmbeddedPostgres({ dataDir, attach: true });
    const pid = await postgresPid(home);
    await server.stop();
    expect(await query(command.connection, 'select 1 as one')).toEqual([{ one: 1 }]);
    await command.stop();
    expect(isAlive(pid)).toBe(false);
  });

  it('survives commands that come and go all at once, and a server among them', async () => {
    await notTheFirstStart();
    const visit = async (attach: boolean): Promise<void> => {
      const embedded = await startEmbeddedPostgres({ dataDir, attach });
      expect(await query(embedded.connection, 'select 1 as one')).toEqual([{ one: 1 }]);
      await embedded.stop();
    };
    for (let round = 0; round < 3; round += 1) {
      await Promise.all([visit(true), visit(true), visit(false), visit(true)]);
    }
    await until(async () => (await postgresPid(home).catch(() => undefined)) === undefined);
  });
});

describe('its place', () => {
  it('puts the socket into a short private folder where the path is too long, always the same', async () => {
    dataDir = path.join(folder.path, 'a-long-name'.repeat(8), 'data');
    home = path.join(dataDir, 'postgres');
    await notTheFirstStart();
    const first = await startEmbeddedPostgres({ dataDir });
    const { host } = first.connection;
    expect(Buffer.byteLength(host)).toBeLessThan(90);
    expect((await lstat(host)).mode & 0o777).toBe(0o700);
    await first.stop();
    const second = await startEmbeddedPostgres({ dataDir });
    expect(second.connection.host).toBe(host);
    await second.stop();
    await rm(host, { recursive: true });
  });

  it('listens on loopback, on a port that it keeps, where no socket is possible', async () => {
    await notTheFirstStart();
    const first = await startEmbeddedPostgres({ dataDir, maxSocketPathBytes: 10 });
    expect(first.connection.host).toBe('127.0.0.1');
    await first.stop();
    const second = await startEmbeddedPostgres({ dataDir, maxSocketPathBytes: 10 });
    expect(second.connection).toEqual(first.connection);
    expect(await query(second.connection, "select current_setting('listen_addresses') as listen")).toEqual([
      { listen: '127.0.0.1' },
    ]);
    await second.stop();
  });

  it.each(['with spaces', 'a,comma', 'quote"d', 'ümlaut'])('may be called %p', async (name) => {
    dataDir = path.join(folder.path, name);
    home = path.join(dataDir, 'postgres');
    await notTheFirstStart();
    const embedded = await startEmbeddedPostgres({ dataDir });
    expect(await query(embedded.connection, 'select 1 as one')).toEqual([{ one: 1 }]);
    await embedded.stop();
  });

  it('refuses the files of another major version, untouched, and says how to move', async () => {
    await notTheFirstStart();
    await writeFile(path.join(home, 'cluster', 'pgdata', 'PG_VERSION'), '17\n');
    await expect(startEmbeddedPostgres({ dataDir })).rejects.toMatchObject({
      code: 'data_directory_version',
      message: expect.stringMatching(/PostgreSQL 17.*data export.*data import/s),
    });
  });

  it('removes what a killed first start left, once it is old', async () => {
    const leftover = path.join(home, 'cluster.new-abc');
    await mkdir(leftover, { recursive: true, mode: 0o755 });
    const inAnHour = { now: () => new Date(Date.now() + 3_600_000) };
    await (await startEmbeddedPostgres({ dataDir, clock: inAnHour })).stop();
    expect(await readdir(home)).toEqual(['cluster']);
  });
});
