import { readdirSync, readFileSync } from 'node:fs';

/**
 * Stops a process and all below it (PostgreSQL has one for each connection), without ending any: connections stay open
 * and nobody answers, as when a machine hangs. Needs /proc.
 */
export function freeze(pid: number): void {
  signalTree(pid, 'SIGSTOP');
}

export function thaw(pid: number): void {
  signalTree(pid, 'SIGCONT');
}

function signalTree(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself.
    return;
  }
  for (const child of childrenOf(pid)) signalTree(child, signal);
}

function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && parentOf(entry) === pid)
    .map(Number);
}

/** proc(5): after the name in parentheses come the state and the parent. */
function parentOf(entry: string): number | undefined {
  try {
    return Number(readFileSync(`/proc/${entry}/stat`, 'utf8').split(') ').pop()?.split(' ')[1]);
  } catch {
    return undefined;
  }
}
