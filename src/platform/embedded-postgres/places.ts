import { randomBytes } from 'node:crypto';
import { access, chmod, constants, mkdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '../errors.ts';
import { mayEnter, type OsAccount } from './account.ts';

/** Where one database's files are. All of it appears at once (see cluster.ts) or not at all. */
export interface ClusterPaths {
  /** Holds the rest. */
  directory: string;
  /** PostgreSQL's own data directory. */
  pgdata: string;
  passwordFile: string;
  logFile: string;
  /** Default place of the unix socket, where its path is short enough. */
  socketDirectory: string;
  /** Says where the socket or port is, where it is not in `socketDirectory`. */
  endpointFile: string;
}

export function clusterPaths(directory: string): ClusterPaths {
  return {
    directory,
    pgdata: path.join(directory, 'pgdata'),
    passwordFile: path.join(directory, 'password'),
    logFile: path.join(directory, 'postgres.log'),
    socketDirectory: path.join(directory, 'socket'),
    endpointFile: path.join(directory, 'endpoint.json'),
  };
}

/** Makes `<dataDir>/postgres`; returns its real path. What already exists keeps its mode. */
export async function createBaseDirectory(dataDir: string): Promise<string> {
  const isRoot = process.getuid?.() === 0;
  const created = await mkdir(dataDir, { recursive: true });
  // Root's PostgreSQL runs as another user, who has to pass through.
  if (created !== undefined) await chmod(dataDir, isRoot ? 0o711 : 0o700);
  const base = path.join(await realpath(dataDir), 'postgres');
  const createdBase = await mkdir(base, { recursive: true });
  if (createdBase !== undefined) await chmod(base, isRoot ? 0o711 : 0o700);
  return base;
}

/** Where an existing database is: in `base`, or where `base` remembers. undefined: there is none yet. */
export async function findCluster(base: string): Promise<string | undefined> {
  const remembered = await readLocation(base);
  const directory = path.join(remembered ?? base, 'cluster');
  if (await exists(clusterPaths(directory).pgdata)) return directory;
  if (remembered !== undefined && !(await exists(remembered))) {
    throw new AppError(
      'data_directory_lost',
      500,
      `The database of this data directory was kept in ${remembered}, and that is gone. Restore it, or delete ` +
        `${locationFile(base)} to begin with an empty database.`,
    );
  }
  return undefined;
}

/**
 * The folder in which a new database is to be made: `base`, unless PostgreSQL's user cannot go there; then a folder
 * of its own below the first usable of `sharedDirectories`, remembered in `base`.
 */
export async function placeForCluster({
  base,
  account,
  sharedDirectories,
  onProgress,
}: {
  base: string;
  account: OsAccount | undefined;
  sharedDirectories: readonly string[];
  onProgress: (message: string) => void;
}): Promise<string> {
  const remembered = await readLocation(base);
  if (remembered !== undefined) return remembered;
  if (account === undefined || (await mayEnter(base, account))) return base;
  for (const shared of sharedDirectories) {
    const directory = path.join(shared, `database-${randomBytes(8).toString('hex')}`);
    const isMade = await makePassable(shared, directory).catch(() => false);
    if (!isMade || !(await mayEnter(directory, account))) {
      await rm(directory, { recursive: true, force: true }).catch(() => {});
      continue;
    }
    try {
      await writeFile(locationFile(base), `${JSON.stringify({ directory })}\n`, {
        flag: 'wx',
        mode: 0o600,
        flush: true,
      });
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      // Another process chose at the same moment: its choice holds.
      const chosen =
        (error as NodeJS.ErrnoException).code === 'EEXIST' ? await readLocation(base) : undefined;
      if (chosen === undefined) throw error;
      return chosen;
    }
    onProgress(
      `Only root may enter ${base}, and PostgreSQL does not run as root: the database is kept in ${directory} ` +
        `(remembered in ${locationFile(base)}).`,
    );
    return directory;
  }
  throw new AppError(
    'data_directory_unreachable',
    500,
    `PostgreSQL runs as "${account.name}", who cannot enter ${base}, and no other place could be made ` +
      `(tried ${sharedDirectories.join(', ')}). Choose another data directory with GATEHOUSE_DATA_DIR.`,
  );
}

async function makePassable(shared: string, directory: string): Promise<boolean> {
  const created = await mkdir(shared, { recursive: true });
  if (created !== undefined) await chmod(shared, 0o755);
  await mkdir(directory);
  await chmod(directory, 0o711);
  return true;
}

function locationFile(base: string): string {
  return path.join(base, 'location.json');
}

async function readLocation(base: string): Promise<string | undefined> {
  const text = await readFile(locationFile(base), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  return text === undefined ? undefined : (JSON.parse(text) as { directory: string }).directory;
}

async function exists(file: string): Promise<boolean> {
  return access(file, constants.F_OK).then(
    () => true,
    () => false,
  );
}
