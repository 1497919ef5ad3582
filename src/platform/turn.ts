import type { Database } from './database.ts';

/**
 * Does the work unless another process is at it just now.
 *
 * @param name of the work; the same in every process
 * @returns whether it was done here
 */
export async function unlessUnderWay(
  db: Database,
  name: string,
  work: () => Promise<unknown>,
): Promise<boolean> {
  return db.transaction(async (tx) => {
    const { rows } = await tx.query<{ held: boolean }>(
      'select pg_try_advisory_xact_lock(hashtextextended($1, 0)) as held',
      [name],
    );
    if (rows[0]?.held !== true) return false;
    await work();
    return true;
  });
}
