import cluster from 'node:cluster';

import { type Assignment, type FirstWorker, isToWorker, type ToPrimary } from './messages.ts';

/** Whether this process was started by a primary (primary.ts). */
export function isWorker(): boolean {
  return cluster.isWorker;
}

/** Asks the primary which one this is. A worker whose primary is gone ends by itself (node:cluster). */
export function askForAssignment(): Promise<Assignment> {
  return new Promise((resolve) => {
    const listen = (message: unknown): void => {
      if (!isToWorker(message)) return;
      process.off('message', listen);
      const { kind: _kind, ...assignment } = message;
      resolve(assignment);
    };
    process.on('message', listen);
    tell({ kind: 'hello' });
  });
}

export function tellReady(ready: FirstWorker): void {
  tell({ kind: 'ready', ready });
}

function tell(message: ToPrimary): void {
  process.send?.(message);
}
