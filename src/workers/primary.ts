/**
 * Several server processes on one machine (node:cluster), behind one address. This folder owns how they are started,
 * replaced and stopped; what each does is the same server as without them (app.ts), and they keep in step as servers on
 * different machines do: through PostgreSQL and Redis.
 *
 * The first worker is ready before the others start, and some things are its alone (the first administrator, the demo,
 * the jobs); whoever replaces it takes them over. A worker that dies is replaced, after a pause that grows while it goes
 * on dying. The primary serves nothing itself: it holds what all share.
 */
import cluster, { type Worker } from 'node:cluster';

import type { Logger } from '../platform/logger.ts';
import { type FirstWorker, isToPrimary, type ToWorker } from './messages.ts';

export interface Workers {
  /**
   * Starts them all.
   *
   * @returns what the first one said when it was ready
   * @throws Error where one of them ends before it is ready
   */
  start: () => Promise<FirstWorker>;
  /** Asks all to stop, and waits; whoever takes longer than that is ended. @returns whether all ended in order */
  stop: (withinSeconds: number) => Promise<boolean>;
}

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;
/** Whoever lived this long did not fail at its start. */
const SETTLED_AFTER_MS = 60_000;

/** How long to wait before a worker is started again. @param failures how often in a row it did not live long */
export function pauseBeforeRestartMs(failures: number): number {
  return failures === 0 ? 0 : Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1));
}

/** @param launch the script of each worker and its arguments */
export function createWorkers({
  count,
  launch,
  canShareAddress,
  logger,
}: {
  count: number;
  /** Whether each worker can listen for itself; else they share what this process opens for them. */
  canShareAddress: boolean;
  launch: { script: string; args: readonly string[] };
  logger: Logger;
}): Workers {
  const running = new Map<number, Worker>();
  const failures = new Map<number, number>();
  const pauses = new Set<NodeJS.Timeout>();
  let first: FirstWorker | undefined;
  let isServing = false;
  let isStopping = false;
  let areAllInOrder = true;

  const startOne = (number: number): Promise<FirstWorker> =>
    new Promise((resolve, reject) => {
      const worker = cluster.fork();
      const startedAt = performance.now();
      running.set(number, worker);
      worker.on('message', (message: unknown) => {
        if (!isToPrimary(message)) return;
        if (message.kind === 'ready') resolve(message.ready);
        else worker.send({ kind: 'assignment', number, of: count, first } satisfies ToWorker);
      });
      worker.once('exit', (code, signal) => {
        running.delete(number);
        const reason = signal ?? `exit code ${code}`;
        // Whom the signal itself ended had not come so far as to listen for it.
        if (isStopping) areAllInOrder &&= code === 0 || signal === 'SIGTERM';
        else if (isServing) replace(number, { livedMs: performance.now() - startedAt, reason });
        reject(new Error(`worker ${number} ended before it was ready: ${reason}`));
      });
      logger.info({ worker: number, pid: worker.process.pid }, 'worker started');
    });

  const replace = (number: number, { livedMs, reason }: { livedMs: number; reason: string }): void => {
    const failed = livedMs > SETTLED_AFTER_MS ? 0 : (failures.get(number) ?? 0);
    failures.set(number, failed + 1);
    const pauseMs = pauseBeforeRestartMs(failed);
    logger.error({ worker: number, reason, pauseMs }, 'a worker ended and is replaced');
    const pause = setTimeout(() => {
      pauses.delete(pause);
      // Where it ends again, its exit has told.
      if (!isStopping) startOne(number).catch(() => {});
    }, pauseMs);
    pauses.add(pause);
  };

  const stop = async (withinSeconds: number): Promise<boolean> => {
    isStopping = true;
    for (const pause of pauses) clearTimeout(pause);
    const ended = [...running.values()].map(
      (worker) => new Promise<void>((resolve) => worker.once('exit', () => resolve())),
    );
    const signalAll = (signal: NodeJS.Signals): void => {
      for (const worker of running.values()) worker.process.kill(signal);
    };
    signalAll('SIGTERM');
    const deadline = setTimeout(() => {
      logger.error('workers did not stop in time and are ended');
      signalAll('SIGKILL');
    }, withinSeconds * 1000);
    await Promise.all(ended);
    clearTimeout(deadline);
    return areAllInOrder;
  };

  return {
    start: async () => {
      if (!canShareAddress) cluster.schedulingPolicy = cluster.SCHED_NONE;
      cluster.setupPrimary({ exec: launch.script, args: [...launch.args] });
      first = await startOne(1);
      await Promise.all(Array.from({ length: count - 1 }, (_, index) => startOne(index + 2)));
      isServing = true;
      // Ready, and gone before the last of them was.
      for (let number = 1; number <= count; number += 1) {
        if (!isStopping && !running.has(number))
          replace(number, { livedMs: 0, reason: 'ended while others started' });
      }
      return first;
    },
    stop,
  };
}
