import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { AppError } from '../platform/errors.ts';

export interface Listener {
  /** @throws AppError `address_in_use`, `address_not_ours`, `address_forbidden` with what to do */
  listen: (place: { port: number; address: string }) => Promise<AddressInfo>;
  /** Goes on serving, but every answer ends its connection: whoever asks again finds another server, or a restarted one. */
  askToLeave: () => void;
  /**
   * No new connections, no further request on the old ones; what is under way has `graceSeconds`, then its connection
   * is closed.
   */
  close: (graceSeconds: number) => Promise<void>;
}

export function createListener(handler: RequestListener): Listener {
  const underWay = new Set<ServerResponse>();
  let isLeaving = false;
  const server = createServer((request, response) => {
    underWay.add(response);
    response.once('close', () => underWay.delete(response));
    if (isLeaving) response.setHeader('Connection', 'close');
    handler(request, response);
  });
  // A client that is slow to send holds a connection, not a request: whole head within 20 s, whole request in a minute.
  server.headersTimeout = 20_000;
  server.requestTimeout = 60_000;
  // Longer than the idle time of common balancers, so that it is they who close a connection, not we under their hands.
  server.keepAliveTimeout = 75_000;

  const askToLeave = (): void => {
    isLeaving = true;
    for (const response of underWay) if (!response.headersSent) response.setHeader('Connection', 'close');
  };

  return {
    listen: (place) =>
      new Promise((resolve, reject) => {
        server.once('error', (error: NodeJS.ErrnoException) => reject(refusal(error, place)));
        server.listen(place.port, place.address, () => resolve(server.address() as AddressInfo));
      }),
    askToLeave,
    close: async (graceSeconds) => {
      askToLeave();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      // Connections that were busy become idle one after another.
      const sweep = setInterval(() => server.closeIdleConnections(), 50);
      const deadline = setTimeout(() => server.closeAllConnections(), graceSeconds * 1000);
      await closed;
      clearInterval(sweep);
      clearTimeout(deadline);
    },
  };
}

function refusal(error: NodeJS.ErrnoException, { port, address }: { port: number; address: string }): Error {
  switch (error.code) {
    case 'EADDRINUSE':
      return new AppError(
        'address_in_use',
        500,
        `Port ${port} is taken. Stop what uses it, or set PORT to another.`,
      );
    case 'EADDRNOTAVAIL':
      return new AppError('address_not_ours', 500, `This machine has no address ${address} to listen on.`);
    case 'EACCES':
      return new AppError(
        'address_forbidden',
        500,
        `Port ${port} needs more rights. Set PORT to one above 1023.`,
      );
    default:
      return error;
  }
}
