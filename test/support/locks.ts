import type { Database, Queryable } from '../../src/platform/database.ts';

/** Starts the second once the first has been done in a transaction that is still open, which commits when it waits. */
export async function startWhile<T>(
  db: Database,
  first: (tx: Queryable) => Promise<unknown>,
  second: () => Promise<T>,
): Promise<PromiseSettledResult<T>> {
  const started = await db.transaction(async (tx) => {
    await first(tx);
    const outcome = Promise.allSettled([second()]);
    await waitsForLock(db);
    return { outcome };
  });
  return (await started.outcome)[0];
}

async function waitsForLock(db: Database): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    const { rows } = await db.query(
      `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    if (rows.length > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('the second did not wait for the first');
}
