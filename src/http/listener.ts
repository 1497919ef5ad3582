import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

import { AppError } from '../platform/errors.ts';
import { readTls, type TlsFiles, versionOf } from './tls.ts';

const RENEWAL_POLL_MS = 60_000;

export interface Place {
  port: number;
  address: string;
  /** Other workers of the same primary listen there too. */
  isShared?: boolean;
}

/**
 * Where workers can share an address, each with a queue of its own that the system fills (SO_REUSEPORT). Elsewhere they
 * share one queue (SCHED_NONE). That the primary accepts for them, node:cluster's default, is ruled out: a connection on
 * its way to a worker that dies would hang.
 */
export const CAN_SHARE_ADDRESS = ['linux', 'freebsd'].includes(process.platform);

export interface Listener {
  /** @throws AppError `address_in_use`, `address_not_ours`, `address_forbidden` with what to do */
  listen: (place: Place) => Promise<AddressInfo>;
  /** Goes on serving, but every answer ends its connection: whoever asks again finds another server, or a restarted one. */
  askToLeave: () => void;
  /**
   * No new connections, no further request on the old ones; what is under way has `graceSeconds`, then its connection
   * is closed.
   */
  close: (graceSeconds: number) => Promise<void>;
}

/** @param tls where this server ends TLS itself; @throws AppError `tls_file`, `tls_unusable` */
export function createListener(handler: RequestListener, tls?: TlsFiles): Listener {
  const underWay = new Set<ServerResponse>();
  let isLeaving = false;
  const server = createServerFor(tls, (request, response) => {
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
        const { port, address: host, isShared = false } = place;
        const reusePort = isShared && CAN_SHARE_ADDRESS;
        server.listen({ port, host, reusePort }, () => resolve(server.address() as AddressInfo));
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

function createServerFor(
  tls: TlsFiles | undefined,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Server | TlsServer {
  if (!tls) return createServer(handler);
  // Whoever has no certificate is let in: whether one is needed is known when the client is.
  const server = withReadableTls(() =>
    createTlsServer(
      { ...readTls(tls), requestCert: tls.requestsCertificates, rejectUnauthorized: false },
      handler,
    ),
  );
  renewWith(server, tls);
  return server;
}

/** New connections get the new certificate. What cannot be read yet, in the middle of a renewal, is read at the next turn. */
function renewWith(server: TlsServer, tls: TlsFiles): void {
  let version = versionOf(tls);
  const timer = setInterval(() => {
    try {
      const current = versionOf(tls);
      if (current === version) return;
      server.setSecureContext(readTls(tls));
      version = current;
    } catch {
      // The certificate in use goes on serving.
    }
  }, tls.renewalPollMs ?? RENEWAL_POLL_MS);
  timer.unref();
  server.once('close', () => clearInterval(timer));
}

function withReadableTls<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError(
      'tls_unusable',
      500,
      'The files of tls.keyPath, tls.certificatePath and tls.clientCaPath do not go together. Give the private key and its certificate, both in PEM.',
      { cause: error },
    );
  }
}

/** For a primary, whose workers would not notice that somebody else listens there. @throws as `listen` does */
export async function requireFree(place: Place): Promise<void> {
  const listener = createListener(() => {});
  await listener.listen(place);
  await listener.close(0);
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
