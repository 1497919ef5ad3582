import { createHash } from 'node:crypto';
import { chown, lstat, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { mayEnter, type OsAccount } from './account.ts';
import type { ClusterPaths } from './places.ts';

/** Where PostgreSQL listens: a unix socket in a folder of its own, or a port of the loopback address. */
export type Endpoint =
  { kind: 'socket'; directory: string; port: number } | { kind: 'loopback'; port: number };

/** Part of the socket's file name only; the folder tells one database from another. */
const SOCKET_PORT = 5432;

/** `sun_path` less its closing zero byte. */
export const MAX_SOCKET_PATH_BYTES = process.platform === 'darwin' ? 103 : 107;

/**
 * Chooses where PostgreSQL is to listen: beside its data, where that path is short enough for a socket; else in a
 * short folder (0700) of the system's temporary one; else on loopback. What is not beside the data is remembered,
 * so that a restart answers at the same place.
 * @param mayRemember false: what is remembered did not work
 */
export async function chooseEndpoint({
  paths,
  account,
  maxSocketPathBytes,
  mayRemember,
}: {
  paths: ClusterPaths;
  account: OsAccount | undefined;
  maxSocketPathBytes: number;
  mayRemember: boolean;
}): Promise<Endpoint> {
  if (fits(paths.socketDirectory, maxSocketPathBytes)) {
    await makePrivate(paths.socketDirectory, account);
    await rm(paths.endpointFile, { force: true });
    return { kind: 'socket', directory: paths.socketDirectory, port: SOCKET_PORT };
  }
  const remembered = mayRemember ? await recall(paths) : undefined;
  if (remembered && (await isUsable(remembered, account, maxSocketPathBytes))) return remembered;
  const chosen = (await shortSocket(paths, account, maxSocketPathBytes)) ?? {
    kind: 'loopback',
    port: await findFreePort(),
  };
  await writeFile(paths.endpointFile, `${JSON.stringify(chosen)}\n`, { mode: 0o600 });
  return chosen;
}

function fits(directory: string, maxBytes: number): boolean {
  return Buffer.byteLength(path.join(directory, `.s.PGSQL.${SOCKET_PORT}`)) <= maxBytes;
}

async function recall(paths: ClusterPaths): Promise<Endpoint | undefined> {
  const text = await readFile(paths.endpointFile, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Endpoint);
}

async function isUsable(
  endpoint: Endpoint,
  account: OsAccount | undefined,
  maxSocketPathBytes: number,
): Promise<boolean> {
  if (endpoint.kind === 'loopback')
    return (await findFreePort(endpoint.port).catch(() => undefined)) !== undefined;
  return (
    fits(endpoint.directory, maxSocketPathBytes) &&
    makePrivate(endpoint.directory, account).catch(() => false)
  );
}

async function shortSocket(
  paths: ClusterPaths,
  account: OsAccount | undefined,
  maxSocketPathBytes: number,
): Promise<Endpoint | undefined> {
  const digest = createHash('sha256').update(paths.pgdata).digest('hex').slice(0, 12);
  for (const temporary of new Set([os.tmpdir(), '/tmp'])) {
    const directory = path.join(temporary, `gatehouse-${digest}`);
    if (!fits(`${directory}-XXXXXX`, maxSocketPathBytes)) continue;
    try {
      if (await makePrivate(directory, account)) return { kind: 'socket', directory, port: SOCKET_PORT };
      // Somebody else holds that name: one that nobody can guess.
      const unique = await mkdtemp(`${directory}-`);
      if (await makePrivate(unique, account)) return { kind: 'socket', directory: unique, port: SOCKET_PORT };
    } catch {
      continue;
    }
  }
  return undefined;
}

/** Makes the folder, for PostgreSQL's user alone. False: it is there and is not theirs, or they cannot go there. */
async function makePrivate(directory: string, account: OsAccount | undefined): Promise<boolean> {
  try {
    await mkdir(directory, { mode: 0o700 });
    if (account) await chown(directory, account.uid, account.gid);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const found = await lstat(directory);
  const ourUid = process.getuid?.();
  // Our own empty folder of a moment ago (mkdtemp), still to be handed over.
  if (account && found.uid === ourUid && found.isDirectory())
    await chown(directory, account.uid, account.gid);
  else if (!found.isDirectory() || found.uid !== (account?.uid ?? ourUid) || (found.mode & 0o077) !== 0)
    return false;
  return account === undefined || mayEnter(directory, account);
}

/** A port of the loopback address that is free now: `port`, where given. */
function findFreePort(port = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen({ port, host: '127.0.0.1' }, () => {
      const { port: free } = server.address() as AddressInfo;
      server.close(() => resolve(free));
    });
  });
}
