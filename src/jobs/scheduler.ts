/**
 * What is done in the background, each at its own interval. Several processes may run the same job at once: every job is
 * written so that this only wastes a little work. A failure is logged and tried again at the next turn.
 */
import type { Logger } from '../platform/logger.ts';

export interface Job {
  name: string;
  intervalSeconds: number;
  run: () => Promise<void>;
}

export interface Scheduler {
  start: () => void;
  /** Waits for what is under way. */
  stop: () => Promise<void>;
}

export function createScheduler({ jobs, logger }: { jobs: readonly Job[]; logger: Logger }): Scheduler {
  const timers = new Set<NodeJS.Timeout>();
  const running = new Set<Promise<void>>();
  let isStopped = false;

  const schedule = (job: Job): void => {
    if (isStopped) return;
    // Spread by a fifth, so that processes started together do not work together.
    const delayMs = job.intervalSeconds * 1000 * (0.8 + Math.random() * 0.4);
    const timer = setTimeout(() => {
      timers.delete(timer);
      const turn = job
        .run()
        .catch((error: unknown) => logger.warn({ err: error, job: job.name }, 'a background job failed'))
        .finally(() => {
          running.delete(turn);
          schedule(job);
        });
      running.add(turn);
    }, delayMs);
    timer.unref();
    timers.add(timer);
  };

  return {
    start: () => {
      for (const job of jobs) schedule(job);
    },
    stop: async () => {
      isStopped = true;
      for (const timer of timers) clearTimeout(timer);
      await Promise.allSettled(running);
    },
  };
}
