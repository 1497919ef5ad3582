import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

/**
 * Below what the system gives by itself (32768 and up): nobody is given a port there who did not ask for that one, so
 * what is free now is free in a moment too. A part for each of Jest's workers, and in it another place for each file.
 */
const PORTS_PER_WORKER = 3_000;
const FIRST = 20_000 + (Number(process.env['JEST_WORKER_ID'] ?? 0) % 4) * PORTS_PER_WORKER;
let next = Math.floor(Math.random() * PORTS_PER_WORKER);

/** A loopback port that is free, with room for `span - 1` more behind it (the demo applications). */
export async function freePort(span = 1): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (next + span > PORTS_PER_WORKER) next = 0;
    const port = FIRST + next;
    next += span;
    const found = await Promise.all(
      Array.from({ length: span }, (_, index) => probe(port + index).catch(() => 0)),
    );
    if (found.every((each) => each !== 0)) return port;
  }
  throw new Error('no free ports');
}

function probe(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      const { port: taken } = server.address() as AddressInfo;
      server.close(() => resolve(taken));
    });
  });
}
