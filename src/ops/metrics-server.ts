import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';

export interface MetricsServer {
  /** Listens; rejects where the address is taken or not ours. */
  start: () => Promise<AddressInfo>;
  close: () => Promise<void>;
}

/**
 * `/metrics` for Prometheus, on an address of its own, so that it never stands on the public port.
 *
 * @param listen port 0 takes a free one, which `start` returns
 */
export function createMetricsServer({
  metrics,
  listen,
  logger,
}: {
  metrics: Pick<Metrics, 'contentType' | 'render'>;
  listen: { address: string; port: number };
  logger: Logger;
}): MetricsServer {
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0];
    if (path !== '/metrics') {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('The metrics are at /metrics.\n');
      return;
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
      return;
    }
    metrics.render().then(
      (text) => response.writeHead(200, { 'content-type': metrics.contentType }).end(text),
      (error: unknown) => {
        logger.error({ err: error }, 'metrics could not be collected');
        response.writeHead(500).end();
      },
    );
  });
  // A scraper has no reason to be slow, and this listener has no proxy before it.
  server.requestTimeout = 10_000;

  return {
    start: () =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(listen.port, listen.address, () => {
          server.off('error', reject);
          server.on('error', (error) => logger.error({ err: error }, 'metrics listener failed'));
          const address = server.address() as AddressInfo;
          logger.info({ address: address.address, port: address.port }, 'metrics listener started');
          resolve(address);
        });
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** @returns what closes the listener; nothing listens where there is no place to */
export async function serveMetrics({
  listen,
  ...options
}: {
  metrics: Pick<Metrics, 'contentType' | 'render'>;
  listen: { address: string; port: number } | undefined;
  logger: Logger;
}): Promise<() => Promise<void>> {
  if (!listen) return async () => {};
  const server = createMetricsServer({ ...options, listen });
  await server.start();
  return server.close;
}
