import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface RunningProcess {
  pid: number;
  /** The exit code, or the signal's name, once it has ended. */
  ended: Promise<number | string>;
  hasEnded: () => boolean;
  /** Asks with `signal`, insists with SIGKILL after `graceMs`; resolves when the process is gone. */
  stop: (signal?: NodeJS.Signals, graceMs?: number) => Promise<void>;
}

const running = new Set<ChildProcess>();
// The last resort, for a run that ends without its finally blocks: no service outlives it.
process.on('exit', () => {
  for (const child of running) killGroup(child, 'SIGKILL');
});

/**
 * Starts a program in a process group of its own, so that a Ctrl-C in the terminal reaches only the one who started
 * it and who knows in which order to stop things. Output goes to the terminal, or to `logFile`.
 */
export function startProcess(
  command: string,
  args: readonly string[],
  { logFile, ...options }: Pick<SpawnOptions, 'cwd' | 'env' | 'uid' | 'gid'> & { logFile?: string } = {},
): RunningProcess {
  const output = logFile === undefined ? 'inherit' : openSync(logFile, 'a');
  const child = spawn(command, args, { ...options, detached: true, stdio: ['ignore', output, output] });
  if (typeof output === 'number') closeSync(output);
  running.add(child);

  const ended = new Promise<number | string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  }).finally(() => running.delete(child));

  return {
    pid: child.pid ?? -1,
    ended,
    hasEnded: () => !running.has(child),
    stop: async (signal = 'SIGTERM', graceMs = 10_000) => {
      if (!running.has(child)) return;
      killGroup(child, signal);
      const timer = setTimeout(() => killGroup(child, 'SIGKILL'), graceMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

function killGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It is gone already.
  }
}

/** Runs a program to its end. @throws Error with what it printed, when it fails. */
export async function runProgram(
  command: string,
  args: readonly string[],
  { logFile, ...options }: Pick<SpawnOptions, 'cwd' | 'env' | 'uid' | 'gid'> & { logFile: string },
): Promise<void> {
  const result = await startProcess(command, args, { ...options, logFile }).ended;
  if (result !== 0) throw new Error(`${command} ended with ${result}\n${await tailOf(logFile)}`);
}

/** A port that was free a moment ago. Whoever uses it must be ready to find it taken. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port to be had');
  return address.port;
}

/**
 * Starts a service on a free port, and again on another one where somebody took the port in between.
 *
 * @param atPort the only port that will do
 * @throws Error with the end of its log, when it does not answer in time
 */
export async function startService({
  name,
  start,
  isReady,
  logFile,
  atPort,
  timeoutMs = 30_000,
}: {
  name: string;
  start: (port: number) => RunningProcess;
  isReady: (port: number) => Promise<boolean>;
  logFile: string;
  atPort?: number;
  timeoutMs?: number;
}): Promise<{ port: number; process: RunningProcess }> {
  for (let attempt = 1; ; attempt += 1) {
    const port = atPort ?? (await freePort());
    const service = start(port);
    const deadline = Date.now() + timeoutMs;
    while (!service.hasEnded() && Date.now() < deadline) {
      if (await isReady(port)) return { port, process: service };
      await delay(25);
    }
    await service.stop('SIGKILL');
    if (attempt === 3) throw new Error(`${name} did not start:\n${await tailOf(logFile)}`);
  }
}

async function tailOf(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '(no output)');
  return text.split('\n').slice(-30).join('\n');
}
