import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

export interface Leftover {
  pid: number;
  command: string;
}

/**
 * Processes that carry `mark` in their environment: what the tests started, directly or not, and did not end. Waits
 * a moment for those that are about to end. Needs /proc; elsewhere it finds nothing.
 */
export async function findLeftovers(mark: string, patienceMs = 5_000): Promise<Leftover[]> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const found = await markedProcesses(mark);
    if (found.length === 0 || Date.now() > deadline) return found;
    await delay(200);
  }
}

/** Ends them by process id, for good. */
export function endLeftovers(leftovers: readonly Leftover[]): void {
  for (const { pid } of leftovers) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself.
    }
  }
}

async function markedProcesses(mark: string): Promise<Leftover[]> {
  const entries = await readdir('/proc').catch(() => []);
  const processes = await Promise.all(
    entries
      .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
      .map(async (entry) => {
        const environment = await readFile(`/proc/${entry}/environ`, 'utf8').catch(() => '');
        if (!environment.split('\0').includes(mark)) return undefined;
        const command = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '');
        return { pid: Number(entry), command: command.replaceAll('\0', ' ').trim().slice(0, 200) };
      }),
  );
  return processes.filter((found) => found !== undefined);
}
