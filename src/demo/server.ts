/**
 * The demo: two relying parties, Ledger and Atlas, for the development profile. They stand on an origin of their own,
 * so that faults between sites show, and speak to the issuer over HTTP alone, exactly as an outside application would.
 *
 * Here: the two listeners and their ports. What the applications are is in applications.ts, their OpenID Connect in
 * relying-party.ts, their pages in routes.ts. That they are registered as clients is the composition root's business.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { loadAssets, type Assets } from '../http/assets.ts';
import { createRenderer, type Renderer } from '../http/render.ts';
import type { Branding } from '../http/views/page.ts';
import type { Logger } from '../platform/logger.ts';
import { createApplication } from './application.ts';
import { demoClients, type DemoClient, type DemoPorts } from './applications.ts';

/** Loopback by its address: an issuer on `localhost` is another site. */
const ADDRESS = '127.0.0.1';
const PORTS_TRIED = 100;
const MAX_PORT = 65_535;

export interface DemoOptions {
  issuer: string;
  /** The client secrets, by client id. */
  secrets: Record<string, string>;
  ports: DemoPorts;
  /** The issuer's: the applications name it, and bring their own name and colour. */
  branding: Branding;
  logger: Logger;
}

export interface Demo {
  applications: { name: string; url: string; description: string }[];
  close: () => Promise<void>;
}

/** Both applications listen when it returns; rejects where a port was taken meanwhile. The issuer may start later. */
export async function startDemo(options: DemoOptions): Promise<Demo> {
  const clients = demoClients(options.ports);
  const assets = loadAssets();
  const renderer = createRenderer({ branding: options.branding, assetBase: assets.base });
  const started = await Promise.allSettled(
    clients.map((client) => start({ client, clients, assets, renderer, options })),
  );
  const servers = started.filter((result) => result.status === 'fulfilled').map(({ value }) => value);
  const close = async (): Promise<void> => {
    await Promise.all(servers.map(stop));
  };
  const failure = started.find((result) => result.status === 'rejected');
  if (failure) {
    await close();
    throw failure.reason;
  }
  return {
    applications: clients.map(({ name, clientUri, description }) => ({ name, url: clientUri, description })),
    close,
  };
}

/** The preferred ports where they are free, else the next free ones; never the same twice. */
export async function chooseDemoPorts(preferred: DemoPorts): Promise<DemoPorts> {
  const ledger = await nextFreePort(preferred.ledger);
  const atlas = await nextFreePort(preferred.atlas, ledger);
  return { ledger, atlas };
}

async function nextFreePort(preferred: number, taken?: number): Promise<number> {
  for (let port = preferred; port < Math.min(preferred + PORTS_TRIED, MAX_PORT + 1); port += 1) {
    if (port !== taken && (await tryPort(port)) !== undefined) return port;
  }
  const any = await tryPort(0);
  if (any === undefined) throw new Error(`no port on ${ADDRESS} is free`);
  return any;
}

/** The port, or undefined where it cannot be had. */
async function tryPort(port: number): Promise<number | undefined> {
  const server = createServer();
  try {
    const bound = await listen(server, port);
    await stop(server);
    return bound;
  } catch {
    return undefined;
  }
}

async function start({
  client,
  clients,
  assets,
  renderer,
  options: { issuer, secrets, branding, logger },
}: {
  client: DemoClient;
  clients: readonly DemoClient[];
  assets: Assets;
  renderer: Renderer;
  options: DemoOptions;
}): Promise<Server> {
  const secret = secrets[client.clientId];
  const other = clients.find(({ clientId }) => clientId !== client.clientId);
  if (secret === undefined || !other) throw new Error(`there is no secret for ${client.clientId}`);
  const application = createApplication({
    client,
    other,
    issuer,
    secret,
    issuerName: branding.name,
    assets,
    renderer,
    logger: logger.child({ demo: client.name }),
  });
  const server = createServer(application.callback());
  await listen(server, client.port);
  return server;
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, ADDRESS, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
