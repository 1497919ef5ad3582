import { fork, type ChildProcess } from 'node:child_process';
import path from 'node:path';

import type { HashingWork } from './hasher.ts';
import type { WorkerReply, WorkerRequest } from './worker.ts';

const WORKER_FILE = path.join(import.meta.dirname, 'worker.ts');
const CLOSE_GRACE_MS = 2_000;

/** One child process and the one piece of work it may have in hand. */
export interface WorkerProcess {
  pid: number | undefined;
  /** Rejects with WorkerLost where the process ends before it answers; with another error where the hashing failed. */
  run: (work: HashingWork) => Promise<boolean[] | string>;
  /** Ends the process, at the latest two seconds from now. */
  close: () => Promise<void>;
}

export class WorkerLost extends Error {}

/**
 * @param workTimeoutMs after which a worker that does not answer is killed and counts as lost
 * @param onExit called once, however it ended
 */
export function startWorkerProcess({
  workTimeoutMs,
  onExit,
}: {
  workTimeoutMs: number;
  onExit: (reason: string) => void;
}): WorkerProcess {
  // An empty environment and no flags of the parent: the child needs neither the secrets nor the debugger's port.
  const child = fork(WORKER_FILE, [], {
    execArgv: [],
    env: {},
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  let nextId = 0;
  let pending:
    { id: number; resolve: (result: boolean[] | string) => void; reject: (error: Error) => void } | undefined;
  let ended = false;
  const exited = new Promise<void>((resolve) => {
    const end = (reason: string): void => {
      if (ended) return;
      ended = true;
      pending?.reject(new WorkerLost(`the hashing process ended (${reason})`));
      pending = undefined;
      onExit(reason);
      resolve();
    };
    child.once('exit', (code, signal) => end(signal ?? `code ${code}`));
    child.on('error', (error) => end(error.message));
  });

  child.on('message', (reply: WorkerReply) => {
    if (reply.id !== pending?.id) return;
    const { resolve, reject } = pending;
    pending = undefined;
    if ('error' in reply) reject(new Error(`hashing failed: ${reply.error}`));
    else resolve(reply.result);
  });
  // An idle worker keeps no process alive.
  setReferenced(child, false);

  return {
    pid: child.pid,
    run: (work) =>
      new Promise((resolve, reject) => {
        if (ended || !child.connected) {
          reject(new WorkerLost('the hashing process has ended'));
          return;
        }
        const id = (nextId += 1);
        const timer = setTimeout(() => child.kill('SIGKILL'), workTimeoutMs);
        const settle = (): void => {
          clearTimeout(timer);
          setReferenced(child, false);
        };
        pending = {
          id,
          resolve: (result) => {
            settle();
            resolve(result);
          },
          reject: (error) => {
            settle();
            reject(error);
          },
        };
        setReferenced(child, true);
        child.send({ id, work } satisfies WorkerRequest, (error) => {
          if (error) child.kill('SIGKILL');
        });
      }),
    close: async () => {
      if (ended) return;
      child.ref();
      const timer = setTimeout(() => child.kill('SIGKILL'), CLOSE_GRACE_MS);
      if (child.connected) child.disconnect();
      await exited;
      clearTimeout(timer);
    },
  };
}

function setReferenced(child: ChildProcess, isReferenced: boolean): void {
  if (isReferenced) {
    child.ref();
    child.channel?.ref();
  } else {
    child.unref();
    child.channel?.unref();
  }
}
