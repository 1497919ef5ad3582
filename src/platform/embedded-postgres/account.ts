import { spawn } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { AppError } from '../errors.ts';

/** The operating system's user that PostgreSQL runs as, where that is not the user we are. */
export interface OsAccount {
  name: string;
  uid: number;
  gid: number;
}

export interface RunResult {
  /** undefined: it could not be started, or a signal ended it; `output` says more. */
  code: number | undefined;
  output: string;
}

/** PostgreSQL refuses to run as root, so root hands over to the first of these that the machine has. */
const UNPRIVILEGED_NAMES = ['postgres', 'nobody'];

/**
 * Who PostgreSQL is to run as; undefined: as we are. Where files exist already, root takes the user who owns them.
 * @throws AppError `data_directory_not_ours` where somebody else's files would have to be used
 */
export async function accountForPostgres(pgdata: string): Promise<OsAccount | undefined> {
  const ourUid = process.getuid?.();
  if (ourUid === undefined) return undefined;
  const owner = await stat(pgdata).catch(() => undefined);
  if (ourUid !== 0) {
    if (owner && owner.uid !== ourUid) {
      throw new AppError(
        'data_directory_not_ours',
        500,
        `The database in ${pgdata} belongs to another user (uid ${owner.uid}); run as that user or as root.`,
      );
    }
    return undefined;
  }
  if (owner && owner.uid !== 0) return { name: `uid ${owner.uid}`, uid: owner.uid, gid: owner.gid };
  for (const name of UNPRIVILEGED_NAMES) {
    const [uid, gid] = await Promise.all([idOf(name, '-u'), idOf(name, '-g')]);
    if (uid !== undefined && gid !== undefined) return { name, uid, gid };
  }
  throw new AppError(
    'no_unprivileged_user',
    500,
    'PostgreSQL refuses to run as root, and this machine has neither a user "postgres" nor "nobody": ' +
      'run Gatehouse as an ordinary user, or point GATEHOUSE_DATABASE_URL at a PostgreSQL of your own.',
  );
}

async function idOf(name: string, flag: '-u' | '-g'): Promise<number | undefined> {
  const { code, output } = await run('id', [flag, name]);
  return code === 0 ? Number(output.trim()) : undefined;
}

/**
 * The environment of PostgreSQL's processes: nothing of ours (our settings hold secrets, and variables such as
 * PGDATA or LD_LIBRARY_PATH would change what they do).
 */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
}

/** Runs a program to its end, as `account` where given, and collects what it printed. Never throws. */
export function run(command: string, args: readonly string[], account?: OsAccount): Promise<RunResult> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      // Our own working directory may be one that the account cannot enter.
      cwd: '/',
      env: cleanEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(account ? { uid: account.uid, gid: account.gid } : {}),
    });
    let output = '';
    const collect = (chunk: Buffer): void => {
      output += chunk.toString('utf8');
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.on('error', (error) => resolve({ code: undefined, output: `${command}: ${error.message}` }));
    child.on('close', (code, signal) =>
      resolve({ code: code ?? undefined, output: signal ? `${output}ended by ${signal}` : output }),
    );
  });
}

/** Whether the account can pass through every folder down to `directory`. Asked of the system: modes are not all. */
export async function mayEnter(directory: string, account: OsAccount): Promise<boolean> {
  const { code } = await run('/bin/sh', ['-c', 'test -x "$0" && cd "$0"', directory], account);
  return code === 0;
}
