import { coalesce } from './coalesce.ts';
import type { Database, Queryable } from './database.ts';

/**
 * How processes learn that what they keep in memory has changed: a numbered row for each subject. Whoever changes
 * the subject bumps the number in the same transaction, which also notifies; every process listens, and reads the
 * number each second as well, since notifications do not pass every connection pooler.
 */
export interface VersionWatch {
  /** Reads the number now and calls back if it moved. */
  check: () => Promise<void>;
  /** When the number was last read from the database, in milliseconds of `performance.now()`. */
  confirmedAtMs: () => number;
  stop: () => Promise<void>;
}

/** Tells every process at commit that the subject changed. */
export async function bumpVersion(tx: Queryable, name: string): Promise<void> {
  await tx.query(
    `with bumped as (
       insert into versions (name, version) values ($1, 1)
       on conflict (name) do update set version = versions.version + 1
       returning version
     )
     select pg_notify($2, version::text) from bumped`,
    [name, channelOf(name)],
  );
}

/**
 * Calls back whenever the subject's number has moved. A callback may come without a change, never the reverse.
 *
 * @param name the subject, as a name of letters; its channel is `gatehouse_<name>`
 * @param onChange must not throw
 * @param onError told when the database cannot be read; the watch goes on
 * @throws where the number cannot be read at the start
 */
export async function watchVersion({
  db,
  name,
  onChange,
  onError = () => {},
  pollIntervalMs = 1_000,
}: {
  db: Database;
  name: string;
  onChange: () => void;
  onError?: (error: Error) => void;
  pollIntervalMs?: number;
}): Promise<VersionWatch> {
  let isStopped = false;
  let seen = await readVersion(db, name);
  let confirmedAtMs = performance.now();
  let timer: NodeJS.Timeout | undefined;
  let subscription: { stop: () => Promise<void> } | undefined;

  const check = coalesce(async () => {
    const askedAtMs = performance.now();
    const version = await readVersion(db, name);
    confirmedAtMs = askedAtMs;
    if (version === seen || isStopped) return;
    seen = version;
    onChange();
  });
  const subscribe = async (): Promise<void> => {
    const next = await db.listen(channelOf(name), () => {
      if (!isStopped) check().catch(onError);
    });
    if (isStopped) await next.stop();
    else subscription = next;
  };
  const pollLater = (): void => {
    timer = setTimeout(() => {
      poll().catch(onError);
    }, pollIntervalMs);
    timer.unref();
  };
  const poll = async (): Promise<void> => {
    try {
      await check();
      if (!subscription && !isStopped) await subscribe();
    } finally {
      if (!isStopped) pollLater();
    }
  };

  await subscribe().catch(onError);
  pollLater();

  return {
    check,
    confirmedAtMs: () => confirmedAtMs,
    stop: async () => {
      isStopped = true;
      clearTimeout(timer);
      await subscription?.stop();
    },
  };
}

async function readVersion(db: Queryable, name: string): Promise<string> {
  const { rows } = await db.query<{ version: string }>('select version from versions where name = $1', [
    name,
  ]);
  return rows[0]?.version ?? '0';
}

function channelOf(name: string): string {
  return `gatehouse_${name}`;
}
