import type { Hasher, HashingSlot, HashingWork } from './hasher.ts';
import { startWorkerProcess, WorkerLost, type WorkerProcess } from './worker-process.ts';

/** What a caller is told to wait at most: by then a queue has either moved or is full again. */
const MAX_RETRY_SECONDS = 30;

interface Job {
  work: HashingWork;
  isRetry: boolean;
  resolve: (result: boolean[] | string) => void;
  reject: (error: unknown) => void;
}

/**
 * Hashing in child processes at low priority, behind a bounded queue: neither libuv's threads (which WebCrypto signs
 * with) nor the processor are taken from the rest of the server, and past the bound an attempt is refused at once.
 * Processes start with the first work. One that dies is replaced, and its work done once more by another.
 *
 * @param queueLength how many attempts may wait besides the `workers` that run
 * @param onWorkerLost told of processes that ended unasked
 */
export function createHashingPool({
  workers,
  queueLength,
  workTimeoutMs = 30_000,
  onWorkerLost = () => {},
}: {
  workers: number;
  queueLength: number;
  workTimeoutMs?: number;
  onWorkerLost?: (reason: string) => void;
}): Hasher & { pids: () => number[] } {
  const capacity = workers + queueLength;
  const idle: WorkerProcess[] = [];
  const all = new Set<WorkerProcess>();
  const queue: Job[] = [];
  let reserved = 0;
  let computed = 0;
  let refused = 0;
  let averageMs = 50;
  let isClosed = false;

  const takeWorker = (): WorkerProcess | undefined => {
    const waiting = idle.pop();
    if (waiting || all.size >= workers) return waiting;
    const worker: WorkerProcess = startWorkerProcess({
      workTimeoutMs,
      onExit: (reason) => {
        all.delete(worker);
        const position = idle.indexOf(worker);
        if (position !== -1) idle.splice(position, 1);
        if (!isClosed) onWorkerLost(reason);
      },
    });
    all.add(worker);
    return worker;
  };

  const next = (): void => {
    while (queue.length > 0) {
      const worker = takeWorker();
      if (!worker) return;
      void runJob(worker, queue.shift()!);
    }
  };

  const runJob = async (worker: WorkerProcess, job: Job): Promise<void> => {
    const startedAt = performance.now();
    try {
      const result = await worker.run(job.work);
      computed += job.work.kind === 'hash' ? 1 : job.work.hashes.length;
      averageMs += (performance.now() - startedAt - averageMs) / 16;
      job.resolve(result);
    } catch (error) {
      if (error instanceof WorkerLost && !job.isRetry && !isClosed) queue.unshift({ ...job, isRetry: true });
      else job.reject(error);
    }
    if (all.has(worker)) idle.push(worker);
    next();
  };

  const submit = (work: HashingWork): Promise<boolean[] | string> =>
    new Promise((resolve, reject) => {
      if (isClosed) {
        reject(new Error('the hashing pool is closed'));
        return;
      }
      queue.push({ work, isRetry: false, resolve, reject });
      next();
    });

  const reserve: Hasher['reserve'] = () => {
    if (reserved >= capacity) {
      refused += 1;
      const drainSeconds = Math.ceil((reserved * averageMs) / workers / 1000);
      return { kind: 'busy', retryAfterSeconds: Math.min(Math.max(drainSeconds, 1), MAX_RETRY_SECONDS) };
    }
    reserved += 1;
    let isReleased = false;
    const slot: HashingSlot = {
      verifyEach: async (password, hashes) =>
        (await submit({ kind: 'verify', password, hashes })) as boolean[],
      hash: async (password, parameters) => (await submit({ kind: 'hash', password, parameters })) as string,
      release: () => {
        if (!isReleased) reserved -= 1;
        isReleased = true;
      },
    };
    return { kind: 'ok', slot };
  };

  return {
    reserve,
    hash: async (password, parameters) => {
      const place = reserve();
      if (place.kind === 'busy') return place;
      try {
        return { kind: 'ok', hash: await place.slot.hash(password, parameters) };
      } finally {
        place.slot.release();
      }
    },
    use: () => ({
      workers,
      running: all.size - idle.length,
      queued: queue.length,
      reserved,
      capacity,
      computed,
      refused,
    }),
    pids: () => [...all].flatMap(({ pid }) => (pid === undefined ? [] : [pid])),
    close: async () => {
      isClosed = true;
      for (const job of queue.splice(0)) job.reject(new Error('the hashing pool is closed'));
      await Promise.all([...all].map((worker) => worker.close()));
    },
  };
}
