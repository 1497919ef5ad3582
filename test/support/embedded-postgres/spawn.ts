import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

const PROCESS = path.join(import.meta.dirname, 'process.ts');

export type Connection = { host: string; port: number; user: string; password: string; database: string };

export type Said =
  | { kind: 'progress'; message: string }
  | { kind: 'ready'; connection: Connection; owned: boolean; tookMs: number; uid: number }
  | { kind: 'failed'; code: string; message: string }
  | { kind: 'stopped' }
  | { kind: 'lost' };

export interface UserProcess {
  pid: number;
  /** Waits until it has said a line of this kind; throws when it ends, or fails, without. */
  hears: <Kind extends Said['kind']>(kind: Kind) => Promise<Extract<Said, { kind: Kind }>>;
  said: Said[];
  /** SIGTERM, and waits for the end. */
  stop: () => Promise<void>;
  kill: () => Promise<void>;
}

/** Starts process.ts; `account` (root only) makes it another user's process. */
export function spawnUser(
  options: { dataDir: string; attach?: boolean; sharedDirectories?: string[]; maxSocketPathBytes?: number },
  {
    account,
    env = { PATH: process.env['PATH'] },
  }: { account?: { uid: number; gid: number }; env?: NodeJS.ProcessEnv } = {},
): UserProcess {
  const child = spawn(process.execPath, [PROCESS, JSON.stringify(options)], {
    cwd: '/',
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    // The leader of a group of its own, as a terminal's foreground process is.
    detached: true,
    ...account,
  });
  const ended = once(child, 'close');
  const said: Said[] = [];
  let errors = '';
  let rest = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    said.push(...lines.map((line) => JSON.parse(line) as Said));
  });
  const hears = async <Kind extends Said['kind']>(kind: Kind): Promise<Extract<Said, { kind: Kind }>> => {
    for (;;) {
      const found = said.find((line) => line.kind === kind);
      if (found) return found as Extract<Said, { kind: Kind }>;
      if (hasEnded(child)) {
        await ended;
        if (!said.some((line) => line.kind === kind)) {
          throw new Error(`ended without saying "${kind}": ${JSON.stringify(said)} ${errors}`);
        }
      }
      await delay(10);
    }
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await ended;
  };
  return { pid: child.pid ?? 0, hears, said, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') };
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** A folder of the test's own, which everybody may enter unless `mode` says otherwise. */
export async function createFolder(mode = 0o755): Promise<{ path: string; remove: () => Promise<void> }> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'gh-ep-'));
  await chmod(folder, mode);
  return { path: folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

export async function query(
  connection: Connection,
  text: string,
): Promise<Record<string, string | number | null>[]> {
  const client = new pg.Client(connection);
  await client.connect();
  try {
    return (await client.query<Record<string, string | number | null>>(text)).rows;
  } finally {
    await client.end();
  }
}

/** The process that PostgreSQL's own pid file names. */
export async function postgresPid(clusterHome: string): Promise<number> {
  const text = await readFile(path.join(clusterHome, 'cluster', 'pgdata', 'postmaster.pid'), 'utf8');
  return Number(text.split('\n')[0]);
}

/** Whether the process lives; one that has ended and only waits to be collected does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== 'linux' || !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

export async function until(isTrue: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await isTrue())) {
    if (performance.now() > deadline) throw new Error('waited in vain');
    await delay(20);
  }
}
