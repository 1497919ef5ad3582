import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

/** A loopback port that is free now, with room for `span - 1` more behind it (the demo applications). */
export async function freePort(span = 1): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const port = await probe(0);
    const others = await Promise.all(
      Array.from({ length: span - 1 }, (_, index) => probe(port + index + 1).catch(() => 0)),
    );
    if (others.every((other) => other !== 0)) return port;
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
