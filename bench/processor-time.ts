/** How much processor time processes have taken, from /proc (proc(5)); elsewhere than on Linux nothing is known. */
import { execFileSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';

export interface ProcessUse {
  pid: number;
  parent: number;
  command: string;
  /** User and system time so far of the process itself, its threads included, its children not. */
  microseconds: number;
}

/** Microseconds so far, by process. */
export type Times = ReadonlyMap<number, number>;

const MICROSECONDS_PER_TICK = 1_000_000 / ticksPerSecond();

function ticksPerSecond(): number {
  try {
    return Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' })) || 100;
  } catch {
    return 100;
  }
}

/** Every process that can be seen from here. */
export async function listProcesses(): Promise<ProcessUse[]> {
  const entries = await readdir('/proc').catch(() => []);
  const all = await Promise.all(
    entries.filter((entry) => /^\d+$/.test(entry)).map((entry) => readProcess(Number(entry))),
  );
  return all.filter((use) => use !== undefined);
}

async function readProcess(pid: number): Promise<ProcessUse | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined);
  if (stat === undefined || command === undefined) return undefined;
  // Behind the name in parentheses: state, ppid, …; utime and stime are fields 14 and 15 of the whole line.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    pid,
    parent: Number(fields[1]),
    command: command.replaceAll('\0', ' ').trim(),
    microseconds: (Number(fields[11]) + Number(fields[12])) * MICROSECONDS_PER_TICK,
  };
}

export function timesOf(processes: readonly ProcessUse[]): Times {
  return new Map(processes.map(({ pid, microseconds }) => [pid, microseconds]));
}

/** Microseconds between two readings. What ended in between is not counted; undefined where nothing was seen. */
export function timeBetween(before: Times, after: Times): number | undefined {
  if (after.size === 0) return undefined;
  let total = 0;
  for (const [pid, microseconds] of after) total += microseconds - (before.get(pid) ?? 0);
  return total;
}
