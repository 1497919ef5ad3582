/**
 * A child process of the hashing pool. It runs at the lowest priority, so that hashing takes only the processor time
 * which the server's other work leaves (fork, not a thread: priority belongs to processes).
 */
import os from 'node:os';

import { runHashing } from './argon2.ts';
import type { HashingWork } from './hasher.ts';

export interface WorkerRequest {
  id: number;
  work: HashingWork;
}

export type WorkerReply = { id: number; result: boolean[] | string } | { id: number; error: string };

os.setPriority(os.constants.priority.PRIORITY_LOW);

// Ctrl-C and a supervisor's SIGTERM reach the whole group: the server still drains and needs us. We end when its
// channel closes, which happens however it ends.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});

process.on('message', (request: WorkerRequest) => {
  runHashing(request.work).then(
    (result) => reply({ id: request.id, result }),
    (error: unknown) =>
      reply({ id: request.id, error: error instanceof Error ? error.message : String(error) }),
  );
});

function reply(message: WorkerReply): void {
  if (process.connected) process.send?.(message);
}
