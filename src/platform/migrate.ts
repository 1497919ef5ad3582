import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import type { Database } from './database.ts';

const MIGRATIONS_DIRECTORY = path.join(import.meta.dirname, '..', '..', 'migrations');
/** Any number that nothing else in the database locks; the word "gate" in ASCII. */
const LOCK_ID = 0x67617465;

/**
 * Brings the schema up to date: every `NNNN_subject.sql` not applied yet, in order, all of them in one transaction
 * under an advisory lock, so that several processes may start at once and a failure leaves nothing half done.
 *
 * @returns the names of those applied now
 */
export async function migrate(
  db: Database,
  {
    directory = MIGRATIONS_DIRECTORY,
    onApplied,
  }: { directory?: string; onApplied?: (name: string) => void } = {},
): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => /^\d{4}_[a-z0-9_]+\.sql$/.test(name)).sort();

  return db.transaction(async (tx) => {
    await tx.query('select pg_advisory_xact_lock($1)', [LOCK_ID]);
    await tx.query(
      `create table if not exists schema_migrations (
         name text primary key,
         applied_at timestamptz not null default now()
       )`,
    );
    const { rows } = await tx.query<{ name: string }>('select name from schema_migrations');
    const known = new Set(rows.map(({ name }) => name));
    const pending = names.filter((name) => !known.has(name));
    for (const name of pending) {
      await tx.query(await readFile(path.join(directory, name), 'utf8'));
      await tx.query('insert into schema_migrations (name) values ($1)', [name]);
      onApplied?.(name);
    }
    return pending;
  });
}
