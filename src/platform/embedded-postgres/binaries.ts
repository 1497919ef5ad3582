import { chmod, cp, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { AppError } from '../errors.ts';
import { run, type OsAccount } from './account.ts';

export interface Binaries {
  initdb: string;
  postgres: string;
  majorVersion: number;
}

export interface BinariesPackage {
  name: string;
  version: string;
  /** Holds bin, lib and share. */
  native: string;
}

/**
 * PostgreSQL's programs from the optional package for this machine, such that PostgreSQL's user can run them: in
 * place where possible, else from a copy in the first of `copyDirectories` that can be written.
 * @throws AppError `embedded_postgres_missing`, `embedded_postgres_unusable`
 */
export async function prepareBinaries({
  account,
  copyDirectories,
  onProgress,
  findPackage = findInstalledPackage,
}: {
  account: OsAccount | undefined;
  copyDirectories: readonly string[];
  onProgress: (message: string) => void;
  findPackage?: () => Promise<BinariesPackage>;
}): Promise<Binaries> {
  const source = await findPackage();
  const inPlace = (await restoreLinks(source.native)) ? await tryToRun(source.native, account) : undefined;
  if (inPlace?.code === 0) return binariesIn(source.native, source.version);

  for (const directory of copyDirectories) {
    const copy = await copyOnce({ source, directory, isForOthers: account !== undefined, onProgress }).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code === undefined) throw error;
        return undefined;
      },
    );
    if (copy === undefined) continue;
    const attempt = await tryToRun(copy, account);
    if (attempt.code === 0) return binariesIn(copy, source.version);
    if (inPlace === undefined) throw unusable(source.name, attempt.output);
  }
  throw unusable(
    source.name,
    `${inPlace?.output ?? 'links to its libraries are missing'}\n` +
      `A copy could not be used either (tried below ${copyDirectories.join(', ')}).`,
  );
}

async function findInstalledPackage(): Promise<BinariesPackage> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(name);
  } catch (cause) {
    throw new AppError(
      'embedded_postgres_missing',
      500,
      `There is no embedded PostgreSQL here (the optional package ${name} is not installed): install without ` +
        '--omit=optional where your platform has one, or point GATEHOUSE_DATABASE_URL at a PostgreSQL of your own.',
      { cause },
    );
  }
  const root = path.dirname(path.dirname(entry));
  const { version } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as {
    version: string;
  };
  return { name, version, native: path.join(root, 'native') };
}

function binariesIn(native: string, version: string): Binaries {
  const program = (name: string): string => path.join(native, 'bin', name);
  return {
    initdb: program('initdb'),
    postgres: program('postgres'),
    majorVersion: Number.parseInt(version, 10),
  };
}

/**
 * npm packages carry no symbolic links: the package's install script makes them, which npm may have held back.
 * False: some are missing and cannot be made here.
 */
async function restoreLinks(native: string): Promise<boolean> {
  const list = await readFile(path.join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const link of JSON.parse(list) as { source: string; target: string }[]) {
    // The list's paths start at the package's root, one above `native`.
    const at = path.join(native, '..', link.target);
    const isThere = await lstat(at).then(
      () => true,
      () => false,
    );
    if (isThere) continue;
    try {
      await symlink(path.relative(path.dirname(link.target), link.source), at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return false;
    }
  }
  return true;
}

async function tryToRun(
  native: string,
  account: OsAccount | undefined,
): Promise<{ code: number | undefined; output: string }> {
  return run(path.join(native, 'bin', 'postgres'), ['--version'], account);
}

/** Copies bin, lib and share to a folder named after the version, all or nothing; 60 MB, a fraction of a second. */
async function copyOnce({
  source,
  directory,
  isForOthers,
  onProgress,
}: {
  source: BinariesPackage;
  directory: string;
  isForOthers: boolean;
  onProgress: (message: string) => void;
}): Promise<string> {
  const target = path.join(directory, `postgresql-${source.version}-${process.platform}-${process.arch}`);
  const native = path.join(target, 'native');
  await mkdir(directory, { recursive: true });
  if (isForOthers) await refuseForeign(directory);
  const existing = await lstat(target).catch(() => undefined);
  if (existing) return native;

  const building = await mkdtemp(`${target}.new-`);
  try {
    await cp(source.native, path.join(building, 'native'), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (file) => !/\.a$|[/\\]pkgconfig$/.test(file),
    });
    await restoreLinks(path.join(building, 'native'));
    if (isForOthers) await makeReadable(building);
    await rename(building, target);
    onProgress(`Copied PostgreSQL's programs to ${target}, where the user it runs as can read them.`);
  } catch (error) {
    await rm(building, { recursive: true, force: true });
    // Another process was faster: its copy is as good.
    if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
  return native;
}

/** Programs that root starts must not come from a folder that somebody else can write. */
async function refuseForeign(directory: string): Promise<void> {
  const { uid, mode } = await lstat(directory);
  if (uid === process.getuid?.() && (mode & 0o022) === 0) return;
  throw Object.assign(new Error(`${directory} can be written by others`), { code: 'EPERM' });
}

/** The installation may carry the modes of a strict umask; everybody may read a copy, only its owner may write. */
async function makeReadable(directory: string): Promise<void> {
  await chmod(directory, 0o755);
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true })) {
    if (entry.isSymbolicLink()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const isProgram = entry.isDirectory() || ((await lstat(file)).mode & 0o100) !== 0;
    await chmod(file, isProgram ? 0o755 : 0o644);
  }
}

function unusable(name: string, output: string): AppError {
  return new AppError(
    'embedded_postgres_unusable',
    500,
    `The embedded PostgreSQL (package ${name}) does not run on this machine: ${output.trim()}\n` +
      'Point GATEHOUSE_DATABASE_URL at a PostgreSQL of your own instead.',
  );
}
