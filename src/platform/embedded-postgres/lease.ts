import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { AppError } from '../errors.ts';
import { mayExist } from './postmaster.ts';

/**
 * Who uses the embedded database, told by session locks, which end with the process that holds them however it ends:
 * - `use`, shared: held by everybody; who leaves and then gets it alone is the last one, and stops PostgreSQL;
 * - `server`, exclusive: one server to a data directory.
 */
const LOCK_CLASS = 0x6761_7465;
const USE = 1;
const SERVER = 2;

const RETRY_MS = 20;
const MAX_ATTEMPTS = 15;
const MAX_ATTEMPTS_GONE = 250;

const NAME = /^gatehouse (?:server|command), process (\d+)$/;

/** Enters as a user of the database. Waits while the last user is stopping it; the connection then ends. */
export async function enter(client: pg.Client, role: 'server' | 'command'): Promise<void> {
  await client.query(`set application_name = 'gatehouse ${role}, process ${process.pid}'`);
  await client.query('select pg_advisory_lock_shared($1, $2)', [LOCK_CLASS, USE]);
}

/**
 * Becomes the server of this database.
 * @throws AppError `data_directory_in_use` where another server lives
 */
export async function becomeServer(client: pg.Client, dataDir: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    if (await tryLock(client, SERVER)) return;
    const holder = await findServer(client);
    // It left between the two questions.
    if (holder === undefined) continue;
    // PostgreSQL may need a moment to see that a killed process is gone. (Its connection is not ended from here: a
    // process that cannot be seen may live in another container.)
    const isGone = holder.pid !== undefined && !mayExist(holder.pid);
    if (attempt >= (isGone ? MAX_ATTEMPTS_GONE : MAX_ATTEMPTS)) {
      throw new AppError(
        'data_directory_in_use',
        409,
        `Another Gatehouse server (process ${holder.pid ?? 'unknown'}${isGone ? ', in another container' : ''}) is ` +
          `using the data directory ${dataDir}. Stop it first, or give this one a directory of its own with ` +
          'GATEHOUSE_DATA_DIR.',
      );
    }
    await delay(RETRY_MS);
  }
}

/** Leaves; true: nobody else is left, and nobody can enter while this connection lasts. */
export async function leave(client: pg.Client): Promise<boolean> {
  await client.query('select pg_advisory_unlock_shared($1, $2)', [LOCK_CLASS, USE]);
  return tryLock(client, USE);
}

async function tryLock(client: pg.Client, lock: number): Promise<boolean> {
  const { rows } = await client.query<{ is_locked: boolean }>(
    'select pg_try_advisory_lock($1, $2) as is_locked',
    [LOCK_CLASS, lock],
  );
  return rows[0]?.is_locked === true;
}

async function findServer(
  client: pg.Client,
): Promise<{ backend: number; pid: number | undefined } | undefined> {
  const { rows } = await client.query<{ pid: number; application_name: string }>(
    `select a.pid, a.application_name
       from pg_locks l join pg_stat_activity a on a.pid = l.pid
      where l.locktype = 'advisory' and l.granted and l.classid = $1 and l.objid = $2`,
    [LOCK_CLASS, SERVER],
  );
  const [row] = rows;
  if (!row) return undefined;
  const pid = NAME.exec(row.application_name)?.[1];
  return { backend: row.pid, pid: pid === undefined ? undefined : Number(pid) };
}
