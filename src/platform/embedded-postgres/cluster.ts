import { randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../clock.ts';
import { AppError } from '../errors.ts';
import { run, type OsAccount } from './account.ts';
import type { Binaries } from './binaries.ts';
import { clusterPaths, type ClusterPaths } from './places.ts';

/** The database's own superuser; nobody else connects to it. */
export const DATABASE_USER = 'gatehouse';

/** An unfinished database older than this was left by a process that was killed. */
const LEFTOVER_AGE_MS = 10 * 60_000;

/**
 * Makes an empty database in `<home>/cluster`. It is made under another name and renamed, so a process that dies
 * half-way leaves nothing that looks like a database, and of two that do it at once the first wins.
 */
export async function createCluster({
  home,
  binaries,
  account,
  clock,
}: {
  home: string;
  binaries: Binaries;
  account: OsAccount | undefined;
  clock: Clock;
}): Promise<string> {
  const finished = clusterPaths(path.join(home, 'cluster'));
  await removeLeftovers(home, clock);
  const building = clusterPaths(await mkdtemp(`${finished.directory}.new-`));
  try {
    await chmod(building.directory, account ? 0o711 : 0o700);
    for (const directory of [building.pgdata, building.socketDirectory]) {
      await mkdir(directory, { mode: 0o700 });
      if (account) await chown(directory, account.uid, account.gid);
    }
    await initialise(building, binaries, account);
    await rename(building.directory, finished.directory);
  } catch (error) {
    await rm(building.directory, { recursive: true, force: true });
    if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
  return finished.directory;
}

async function initialise(
  paths: ClusterPaths,
  binaries: Binaries,
  account: OsAccount | undefined,
): Promise<void> {
  const password = randomBytes(32).toString('base64url');
  // initdb reads the password as PostgreSQL's user; the copy that we keep is ours alone.
  const handover = path.join(paths.directory, 'initdb-password');
  await writeFile(handover, password, { mode: 0o600 });
  if (account) await chown(handover, account.uid, account.gid);
  const { code, output } = await run(
    binaries.initdb,
    [
      `--pgdata=${paths.pgdata}`,
      `--username=${DATABASE_USER}`,
      `--pwfile=${handover}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      // Built in since PostgreSQL 17: the same order and case mapping whatever locales the machine has.
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
    ],
    account,
  );
  await rm(handover);
  if (code !== 0) {
    throw new AppError(
      'embedded_postgres_unusable',
      500,
      `The database could not be created: ${output.trim()}`,
    );
  }
  await writeFile(paths.passwordFile, password, { mode: 0o600, flush: true });
}

async function removeLeftovers(home: string, clock: Clock): Promise<void> {
  for (const name of await readdir(home)) {
    if (!name.startsWith('cluster.new-')) continue;
    const directory = path.join(home, name);
    const found = await stat(directory).catch(() => undefined);
    if (found && clock.now().getTime() - found.mtimeMs > LEFTOVER_AGE_MS) {
      await rm(directory, { recursive: true, force: true });
    }
  }
}

/** @throws AppError `data_directory_version`: PostgreSQL cannot read the files of another major version */
export async function requireSameMajorVersion(paths: ClusterPaths, binaries: Binaries): Promise<void> {
  const made = Number((await readFile(path.join(paths.pgdata, 'PG_VERSION'), 'utf8')).trim());
  if (made === binaries.majorVersion) return;
  throw new AppError(
    'data_directory_version',
    500,
    `The database in ${paths.pgdata} was made by PostgreSQL ${made}, and this version of Gatehouse brings PostgreSQL ` +
      `${binaries.majorVersion}, which cannot read it. To move: with the version of Gatehouse that made it, run ` +
      '`gatehouse data export`; then, with this version and a new data directory, `gatehouse data import`.',
  );
}

export async function readPassword(paths: ClusterPaths): Promise<string> {
  try {
    return (await readFile(paths.passwordFile, 'utf8')).trim();
  } catch (cause) {
    throw new AppError(
      'data_directory_not_ours',
      500,
      `The database's password cannot be read: ${String(cause)}`,
      {
        cause,
      },
    );
  }
}
