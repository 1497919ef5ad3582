import { z } from 'zod';

import { appendInTransaction } from '../../audit/append.ts';
import type { Actor } from '../../audit/events.ts';
import { verifyChain, type VerifyResult } from '../../audit/verify.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queryable } from '../../platform/database.ts';
import { AppError } from '../../platform/errors.ts';
import type { Sealer } from '../../platform/seal.ts';
import {
  appliedMigrations,
  columnsOf,
  FORMAT_VERSION,
  PORTABLE_TABLES,
  sealingKeysInUse,
  type PortableTable,
} from './tables.ts';

const ROWS_PER_INSERT = 500;

const headerSchema = z.object({
  gatehouse_export: z.number(),
  migrations: z.array(z.string()),
  sealing_key_id: z.string(),
  sealing_key_ids: z.array(z.string()),
});
const tableSchema = z.strictObject({
  table: z.string(),
  columns: z.array(z.string()),
  rows: z.number().int().min(0),
});
const endSchema = z.strictObject({ end: z.literal(true), rows: z.number() });

export interface ImportResult {
  rows: number;
  /** What is wrong with the audit chain, as it came. */
  chainProblem: VerifyResult['problem'];
  /** Whether the present secret key is the one that the source sealed with. */
  hasSameKey: boolean;
}

/**
 * Reads an export into an empty database, in one transaction: whole, or not at all.
 *
 * @param mayBeBroken takes an audit log whose chain does not verify, as it is
 * @throws AppError `not_empty`, `other_release`, `other_secret_key`, `invalid_export`, `chain_broken`
 */
export async function importData({
  db,
  sealer,
  clock,
  by,
  lines,
  mayBeBroken,
  signal,
}: {
  db: Database;
  sealer: Sealer;
  clock: Clock;
  by: Actor;
  lines: AsyncIterator<string>;
  mayBeBroken: boolean;
  signal: AbortSignal;
}): Promise<ImportResult> {
  const header = readHeader(await nextLine(lines));
  const strangers = [header.sealing_key_id, ...header.sealing_key_ids].filter((id) => !sealer.knows(id));
  refuseStrangers(strangers);

  return db.transaction(async (tx) => {
    await refuseOtherRelease(tx, header.migrations);
    await refuseUnlessEmpty(tx);
    let rows = 0;
    for (const table of PORTABLE_TABLES) rows += await importTable(tx, table, { lines, signal });
    const end = parseLine(await nextLine(lines), endSchema);
    if (end.rows !== rows) throw invalid(`it ends after ${rows} rows and should have ${end.rows}`);
    if (!(await lines.next()).done) throw invalid('it goes on after its end');

    refuseStrangers((await sealingKeysInUse(tx)).filter((id) => !sealer.knows(id)));
    const { problem } = await verifyChain(tx);
    if (problem && !mayBeBroken) {
      throw new AppError(
        'chain_broken',
        409,
        `The audit log in it is broken at row ${problem.seq}: ${problem.message}. Nothing was imported; --accept-broken-chain takes it as it is.`,
      );
    }
    await appendInTransaction(
      tx,
      {
        type: 'data.imported',
        outcome: 'success',
        actor: by,
        payload: { tables: PORTABLE_TABLES.map(({ name }) => name), rows },
      },
      { clock },
    );
    return { rows, chainProblem: problem, hasSameKey: header.sealing_key_id === sealer.currentKeyId };
  });
}

function readHeader(line: string): z.infer<typeof headerSchema> {
  const header = parseLine(line, headerSchema);
  if (header.gatehouse_export !== FORMAT_VERSION) {
    throw invalid(
      `its format is ${header.gatehouse_export}, and this release reads format ${FORMAT_VERSION}; use the release that wrote it`,
    );
  }
  return header;
}

function refuseStrangers(strangers: readonly string[]): void {
  if (strangers.length === 0) return;
  throw new AppError(
    'other_secret_key',
    409,
    `The secrets in it are sealed with another secret key (${[...new Set(strangers)].join(', ')}). Set GATEHOUSE_SECRET_KEY, or GATEHOUSE_SECRET_KEY_FILE, to the one of the server that it comes from: unless set there, the file secret.key in its data directory.`,
  );
}

async function refuseOtherRelease(tx: Queryable, theirs: readonly string[]): Promise<void> {
  const ours = await appliedMigrations(tx);
  const isSame = ours.length === theirs.length && ours.every((name, index) => name === theirs[index]);
  if (isSame) return;
  throw new AppError(
    'other_release',
    409,
    `It was exported at the migration ${theirs.at(-1) ?? 'none'} and this database is at ${ours.at(-1) ?? 'none'}. Import it with the release that exported it, then upgrade.`,
  );
}

/** Also keeps everybody from writing until the import is through: a server that starts now finds it done. */
async function refuseUnlessEmpty(tx: Queryable): Promise<void> {
  const names = PORTABLE_TABLES.map(({ name }) => name);
  await tx.query(`lock table ${names.join(', ')} in exclusive mode`);
  for (const { name, freshRows = 'false' } of PORTABLE_TABLES) {
    const { rows } = await tx.query(`select 1 from ${name} where not (${freshRows}) limit 1`);
    if (rows.length === 0) continue;
    throw new AppError(
      'not_empty',
      409,
      `The database is not empty (${name}). Import into a new one that no server has started on: create it, name it by GATEHOUSE_DATABASE_URL, and import before the first start.`,
    );
  }
  for (const { name, freshRows } of PORTABLE_TABLES) {
    if (freshRows !== undefined) await tx.query(`delete from ${name}`);
  }
}

async function importTable(
  tx: Queryable,
  table: PortableTable,
  { lines, signal }: { lines: AsyncIterator<string>; signal: AbortSignal },
): Promise<number> {
  const { name } = table;
  const described = parseLine(await nextLine(lines), tableSchema);
  const columns = await columnsOf(tx, table);
  if (described.table !== name) throw invalid(`the table ${described.table} stands where ${name} should`);
  if (described.columns.join() !== columns.join()) throw invalid(`the table ${name} has other columns`);
  for (let left = described.rows; left > 0; ) {
    signal.throwIfAborted();
    const batch: string[] = [];
    while (batch.length < Math.min(left, ROWS_PER_INSERT)) batch.push(await nextLine(lines));
    left -= batch.length;
    await insertRows(tx, { name, columns, rows: `[${batch.join(',')}]`, expected: batch.length });
  }
  return described.rows;
}

async function insertRows(
  tx: Queryable,
  {
    name,
    columns,
    rows,
    expected,
  }: { name: string; columns: readonly string[]; rows: string; expected: number },
): Promise<void> {
  const list = columns.join(', ');
  try {
    if (name === 'audit_events') {
      await tx.query(
        `select audit_ensure_partitions(month, 0)
           from (select distinct date_trunc('month', (event->>'at')::timestamptz, 'UTC') as month
                   from jsonb_array_elements($1::jsonb) event) months`,
        [rows],
      );
    }
    const { rowCount } = await tx.query(
      `insert into ${name} (${list}) select ${list} from jsonb_populate_recordset(null::${name}, $1::jsonb)`,
      [rows],
    );
    if (rowCount !== expected) throw invalid(`a line of the table ${name} is not one row`);
  } catch (error) {
    // Class 22 of PostgreSQL's codes: not JSON, or not of the column's type; 23: against a constraint.
    if (!/^2[23]/.test((error as { code?: string }).code ?? '')) throw error;
    throw invalid(
      `a row of the table ${name} is refused by the database: ${(error as Error).message}`,
      error,
    );
  }
}

async function nextLine(lines: AsyncIterator<string>): Promise<string> {
  const { done, value } = await lines.next().catch((error: unknown) => {
    if (error instanceof TypeError) throw invalid('it is not UTF-8 text', error);
    throw error;
  });
  if (done) throw invalid('it ends too early, as if it had been cut off');
  return value;
}

function parseLine<S extends z.ZodType>(line: string, schema: S): z.infer<S> {
  try {
    return schema.parse(JSON.parse(line));
  } catch (cause) {
    throw invalid('a line that should describe what follows does not', cause);
  }
}

function invalid(reason: string, cause?: unknown): AppError {
  return new AppError(
    'invalid_export',
    422,
    `This is not a whole export of Gatehouse: ${reason}. Nothing was imported.`,
    cause === undefined ? {} : { cause },
  );
}
