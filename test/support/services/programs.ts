import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';

/** A program that the tests need and npm cannot bring. */
export interface Program {
  name: string;
  /** Names under which it is looked for on the PATH, or absolute paths. */
  commands: readonly string[];
  /** What Debian and Ubuntu call it. */
  packages: readonly string[];
}

export const REDIS: Program = {
  name: 'Redis (7 or later) or Valkey',
  commands: ['redis-server', 'valkey-server'],
  packages: ['redis-server'],
};

export const CHROMIUM: Program = {
  name: 'Chromium',
  commands: [
    'chromium',
    'chromium-browser',
    'google-chrome',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  ],
  packages: ['chromium', 'fonts-dejavu-core'],
};

export const HAPROXY: Program = { name: 'HAProxy', commands: ['haproxy'], packages: ['haproxy'] };

export const OPENSSL: Program = { name: 'OpenSSL', commands: ['openssl'], packages: ['openssl'] };

/** Debian keeps servers where an ordinary user's PATH does not lead. */
const DIRECTORIES = [
  ...(process.env['PATH'] ?? '').split(path.delimiter),
  '/usr/local/sbin',
  '/usr/sbin',
  '/sbin',
  '/opt/homebrew/bin',
];

export function findProgram({ commands }: Program): string | undefined {
  return commands
    .flatMap((command) =>
      path.isAbsolute(command) ? [command] : DIRECTORIES.map((directory) => path.join(directory, command)),
    )
    .find(isExecutable);
}

/**
 * Finds the programs, installing what is missing with `apt-get` as root or by `sudo -n`.
 *
 * @throws Error that tells what to install, where that is not possible
 */
export function ensurePrograms(programs: readonly Program[], say: (message: string) => void): void {
  const missing = programs.filter((program) => findProgram(program) === undefined);
  if (missing.length === 0) return;

  const packages = missing.flatMap((program) => program.packages);
  const asRoot = wayToRoot();
  if (asRoot) {
    say(`installing ${packages.join(' ')}`);
    const apt = [...asRoot, 'apt-get', '-o', 'Acquire::Retries=3', '-o', 'DPkg::Lock::Timeout=120', '-q'];
    run([...apt, 'update']);
    run([...apt, 'install', '-y', '--no-install-recommends', ...packages]);
  }

  const stillMissing = missing.filter((program) => findProgram(program) === undefined);
  if (stillMissing.length === 0) return;
  throw new Error(
    [
      'The tests need programs that this machine does not have and that could not be installed:',
      ...stillMissing.map(({ name, commands }) => `  ${name} (looked for ${commands.join(', ')})`),
      `On Debian or Ubuntu: sudo apt-get install ${stillMissing.flatMap((program) => program.packages).join(' ')}`,
    ].join('\n'),
  );
}

/** The PostgreSQL of that major version that Debian's packages brought. */
export function findDebianPostgres(major: number): { initdb: string; postgres: string } | undefined {
  const directory = `/usr/lib/postgresql/${major}/bin`;
  const programs = { initdb: path.join(directory, 'initdb'), postgres: path.join(directory, 'postgres') };
  return Object.values(programs).every(isExecutable) ? programs : undefined;
}

function wayToRoot(): string[] | undefined {
  if (!DIRECTORIES.some((directory) => isExecutable(path.join(directory, 'apt-get')))) return undefined;
  if (process.getuid?.() === 0) return ['env', 'DEBIAN_FRONTEND=noninteractive'];
  if (spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0)
    return ['sudo', '-n', 'env', 'DEBIAN_FRONTEND=noninteractive'];
  return undefined;
}

function run([command = '', ...args]: string[]): void {
  spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'], timeout: 600_000 });
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
