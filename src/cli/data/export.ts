import { appendInTransaction } from '../../audit/append.ts';
import type { Actor } from '../../audit/events.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queryable } from '../../platform/database.ts';
import type { Sealer } from '../../platform/seal.ts';
import {
  appliedMigrations,
  columnsOf,
  FORMAT_VERSION,
  LEFT_BEHIND_NOTE,
  PORTABLE_TABLES,
  sealingKeysInUse,
  type PortableTable,
} from './tables.ts';

const ROWS_PER_FETCH = 500;

/**
 * Writes everything worth keeping as lines of JSON, from one moment in time: a header; for each table a line with its
 * columns and number of rows, then the rows; an end. Rows are made by PostgreSQL and read by it again, so that no value
 * loses its exact type on the way. What is sealed stays sealed.
 *
 * That it happens is recorded before the first line leaves: an export holds every password's hash.
 *
 * @param write takes whole lines, the last line break included
 * @returns the number of rows
 */
export async function exportData({
  db,
  sealer,
  clock,
  by,
  write,
  signal,
}: {
  db: Database;
  sealer: Sealer;
  clock: Clock;
  by: Actor;
  write: (lines: string) => Promise<void>;
  signal: AbortSignal;
}): Promise<number> {
  await appendInTransaction(
    db,
    {
      type: 'data.exported',
      outcome: 'success',
      actor: by,
      payload: { tables: PORTABLE_TABLES.map(({ name }) => name) },
    },
    { clock },
  );
  return db.transaction(async (tx) => {
    await tx.query('set transaction isolation level repeatable read, read only');
    await tx.query(`set local timezone = 'UTC'`);
    await tx.query(`set local bytea_output = 'hex'`);
    const inUse = await sealingKeysInUse(tx);
    const header = {
      gatehouse_export: FORMAT_VERSION,
      made_at: clock.now().toISOString(),
      migrations: await appliedMigrations(tx),
      sealing_key_id: sealer.currentKeyId,
      sealing_key_ids: inUse,
      note: LEFT_BEHIND_NOTE,
    };
    await write(`${JSON.stringify(header)}\n`);
    let rows = 0;
    for (const table of PORTABLE_TABLES) rows += await exportTable(tx, table, { write, signal });
    await write(`${JSON.stringify({ end: true, rows })}\n`);
    return rows;
  });
}

async function exportTable(
  tx: Queryable,
  table: PortableTable,
  { write, signal }: { write: (lines: string) => Promise<void>; signal: AbortSignal },
): Promise<number> {
  const columns = await columnsOf(tx, table);
  const { rows: counted } = await tx.query<{ count: string }>(`select count(*) from ${table.name}`);
  const rows = Number(counted[0]?.count);
  await write(`${JSON.stringify({ table: table.name, columns, rows })}\n`);
  await tx.query(
    `declare exported no scroll cursor for
       select to_jsonb(t)::text as line
         from (select ${columns.join(', ')} from ${table.name} order by ${table.orderBy}) t`,
  );
  for (;;) {
    signal.throwIfAborted();
    const { rows: fetched } = await tx.query<{ line: string }>(`fetch ${ROWS_PER_FETCH} from exported`);
    if (fetched.length === 0) break;
    await write(fetched.map(({ line }) => `${line}\n`).join(''));
  }
  await tx.query('close exported');
  return rows;
}
