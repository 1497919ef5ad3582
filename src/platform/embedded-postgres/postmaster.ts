import { spawn } from 'node:child_process';
import { open, readFile, readlink, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { cleanEnvironment, run, type OsAccount } from './account.ts';
import type { Binaries } from './binaries.ts';
import type { Endpoint } from './endpoint.ts';
import type { ClusterPaths } from './places.ts';

/** What PostgreSQL says of itself in `postmaster.pid`. */
export interface Postmaster {
  pid: number;
  endpoint: Endpoint;
  isReady: boolean;
}

export interface Launched {
  pid: number | undefined;
  hasEnded: () => boolean;
}

const MAX_LOG_BYTES = 1024 * 1024;

/** PostgreSQL's settings. They are arguments, so a new version of ours can change them; fsync stays on. */
function settings(endpoint: Endpoint): string[] {
  const values: Record<string, string> = {
    listen_addresses: endpoint.kind === 'loopback' ? '127.0.0.1' : '',
    port: String(endpoint.port),
    unix_socket_directories: endpoint.kind === 'socket' ? quoted(endpoint.directory) : '',
    unix_socket_permissions: '0700',
    max_connections: '100',
    shared_buffers: '64MB',
    max_wal_size: '512MB',
    max_wal_senders: '0',
    wal_level: 'minimal',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_line_prefix: '%m [%p] ',
    // Failed statements are told to us, who judge and log them; their details would put personal data here.
    log_min_messages: 'log',
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
    log_checkpoints: 'off',
  };
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** An item of a list setting. */
function quoted(item: string): string {
  return `"${item.replaceAll('"', '""')}"`;
}

/**
 * Starts PostgreSQL in a session of its own: Ctrl-C in a terminal does not reach it, and it outlives us if we are
 * killed. It holds no pipe of ours, so our end cannot hurt it.
 */
export async function launch({
  binaries,
  paths,
  account,
  endpoint,
}: {
  binaries: Binaries;
  paths: ClusterPaths;
  account: OsAccount | undefined;
  endpoint: Endpoint;
}): Promise<Launched> {
  const size = await stat(paths.logFile).then(
    (found) => found.size,
    () => 0,
  );
  if (size > MAX_LOG_BYTES) await rename(paths.logFile, `${paths.logFile}.1`);
  const log = await open(paths.logFile, 'a', 0o600);
  try {
    if (account) await log.chown(account.uid, account.gid);
    let isOver = false;
    const child = spawn(binaries.postgres, ['-D', paths.pgdata, ...settings(endpoint)], {
      cwd: '/',
      detached: true,
      env: cleanEnvironment(),
      stdio: ['ignore', log.fd, log.fd],
      ...(account ? { uid: account.uid, gid: account.gid } : {}),
    });
    child.on('error', () => {
      isOver = true;
    });
    child.on('exit', () => {
      isOver = true;
    });
    child.unref();
    return { pid: child.pid, hasEnded: () => isOver };
  } finally {
    await log.close();
  }
}

/** The last lines that PostgreSQL wrote, for an error's message. */
export async function endOfLog(paths: ClusterPaths, lines = 12): Promise<string> {
  const text = await readFile(paths.logFile, 'utf8').catch(() => '');
  return text.trimEnd().split('\n').slice(-lines).join('\n');
}

/**
 * Reads `postmaster.pid` (lines: pid, data directory, start time, port, socket directory, listen address, shared
 * memory, status), which PostgreSQL fills line by line while it starts; undefined: there is none, or not yet whole.
 */
export async function readPostmaster(paths: ClusterPaths): Promise<Postmaster | undefined> {
  const text = await readFile(pidFile(paths), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const [pid = '', , , port = '', directory = '', , , status = ''] = text.split('\n');
  if (!/^\d+$/.test(pid)) return undefined;
  return {
    pid: Number(pid),
    endpoint:
      directory === ''
        ? { kind: 'loopback', port: Number(port) }
        : { kind: 'socket', directory, port: Number(port) },
    isReady: status.trim() === 'ready',
  };
}

/**
 * Whether the process that the pid file names is PostgreSQL on these files, and not another to which the system has
 * given the same number since (after a reboot, or in a container that was started anew).
 */
export async function isRunning({ pid }: Postmaster, paths: ClusterPaths): Promise<boolean> {
  if (!mayExist(pid)) return false;
  if (process.platform !== 'linux') {
    const { code, output } = await run('ps', ['-o', 'comm=', '-p', String(pid)]);
    return code !== 0 || path.basename(output.trim()).startsWith('postgres');
  }
  const stats = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (stats === undefined) return mayExist(pid);
  const [, name, state] = /^\d+ \((.*)\) (\S)/s.exec(stats) ?? [];
  if (name !== 'postgres' || state === 'Z' || state === 'X') return false;
  // Not everybody may look; then the name decides.
  const workingDirectory = await readlink(`/proc/${pid}/cwd`).catch(() => paths.pgdata);
  return workingDirectory === paths.pgdata;
}

export function mayExist(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/**
 * Removes the lock files whose number now belongs to a stranger, or to a process that has ended and that nobody has
 * collected yet. PostgreSQL itself overwrites those of a process that is gone, but takes any other for a server: the one
 * in its data directory and the one beside its socket. Only where nothing runs on these files and nobody listens.
 */
export async function removeStrangersPidFile(
  { pid, endpoint }: Postmaster,
  paths: ClusterPaths,
): Promise<void> {
  if (!mayExist(pid)) return;
  await rm(pidFile(paths), { force: true });
  if (endpoint.kind !== 'socket') return;
  const socket = path.join(endpoint.directory, `.s.PGSQL.${endpoint.port}`);
  await rm(`${socket}.lock`, { force: true });
}

function pidFile(paths: ClusterPaths): string {
  return path.join(paths.pgdata, 'postmaster.pid');
}

/**
 * Fast shutdown (open sessions are ended, the data are written out) and, if that takes too long, an immediate one
 * (the next start recovers from the write-ahead log). False: it still runs.
 */
export async function stopPostmaster(
  postmaster: Postmaster,
  paths: ClusterPaths,
  { fastTimeoutMs = 10_000, immediateTimeoutMs = 5_000 } = {},
): Promise<boolean> {
  for (const [signal, timeoutMs] of [
    ['SIGINT', fastTimeoutMs],
    ['SIGQUIT', immediateTimeoutMs],
  ] as const) {
    if (!(await isRunning(postmaster, paths))) return true;
    try {
      process.kill(postmaster.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
    const deadline = performance.now() + timeoutMs;
    while (performance.now() < deadline) {
      if (!(await isRunning(postmaster, paths))) return true;
      await delay(10);
    }
  }
  return false;
}
