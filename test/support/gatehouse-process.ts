import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';

const ROOT = path.join(import.meta.dirname, '..', '..');
const LAUNCHER = path.join(ROOT, 'bin', 'gatehouse.mjs');
const READY_WITHIN_MS = 90_000;

export interface GatehouseProcess {
  env: Record<string, string>;
  child: ChildProcess;
  /** All that it printed so far. */
  output: () => string;
  /** What the first start prints for a person. @throws where it did not */
  printed: () => { issuer: string; ledgerUrl: string; atlasUrl: string; email: string; password: string };
  /** SIGTERM, and its exit code; SIGKILL when that takes too long. */
  stop: () => Promise<number | null>;
}

/** The product as its user starts it: the launcher, in a process of its own. Resolves when it says that it is ready. */
export async function startGatehouseProcess(
  env: Record<string, string>,
  { isGroupLeader = false }: { isGroupLeader?: boolean } = {},
): Promise<GatehouseProcess> {
  const child = spawn(process.execPath, [LAUNCHER, 'start'], {
    cwd: ROOT,
    env: { ...inheritedEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // As the foreground group of a terminal: what is sent to the group reaches it and all that it started.
    detached: isGroupLeader,
  });
  let output = '';
  const collect = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));

  const gatehouse: GatehouseProcess = {
    env,
    child,
    output: () => output,
    printed: () => ({
      issuer: found(output, /Issuer\s+(\S+)/),
      ledgerUrl: found(output, /Ledger\s+(\S+)/),
      atlasUrl: found(output, /Atlas\s+(\S+)/),
      email: found(output, /e-mail\s+(\S+)/),
      password: found(output, /password\s+(\S+)/),
    }),
    stop: async () => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
      const code = await exited;
      clearTimeout(timer);
      return code;
    },
  };
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!/Gatehouse is ready|"msg":"listening"/.test(output)) {
    if (child.exitCode !== null) throw new Error(`Gatehouse ended with ${child.exitCode}:\n${output}`);
    if (Date.now() > deadline) {
      await gatehouse.stop();
      throw new Error(`Gatehouse was not ready in time:\n${output}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return gatehouse;
}

/** One command of the command line, to its end. */
export function runGatehouse(
  args: readonly string[],
  env: Record<string, string>,
  input = '',
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [LAUNCHER, ...args], {
      cwd: ROOT,
      env: { ...inheritedEnvironment(), ...env },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
    child.stdin.end(input);
  });
}

/** Our own environment without any setting of Gatehouse's. */
export function inheritedEnvironment(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      (entry): entry is [string, string] => !entry[0].startsWith('GATEHOUSE_') && entry[0] !== 'PORT',
    ),
  );
}

function found(text: string, pattern: RegExp): string {
  const value = pattern.exec(text)?.[1];
  if (!value) throw new Error(`${String(pattern)} not printed:\n${text}`);
  return value;
}
