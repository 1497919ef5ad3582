import { open, rm } from 'node:fs/promises';

import type { Command } from 'commander';

import { AppError } from '../platform/errors.ts';
import { misuse } from './failure.ts';
import { withOperator } from './operator.ts';
import { count, note, print, printJson, write } from './output.ts';

const STANDARD_STREAM = '-';

export function addData(program: Command): void {
  const data = program
    .command('data')
    .description('Everything worth keeping, as one portable file: from one database into another.');

  data
    .command('export <file>')
    .description(
      'Write accounts, roles, clients, keys, consents and the audit log to a new file (- for standard output).',
    )
    .option('--json', 'print for machines')
    .addHelpText(
      'after',
      `
Sessions, grants and tokens are not part of it. Secrets stay sealed with the secret key, which is not in the file; the
hashes of passwords are, so keep it as you keep the database. A server may run meanwhile: the file is of one moment, and
what changes afterwards is not in it.

Example, from the embedded database into another:
  $ gatehouse data export everything.jsonl
  $ GATEHOUSE_DATABASE_URL=postgres://gatehouse@db/gatehouse gatehouse data import everything.jsonl`,
    )
    .action(runExport);

  data
    .command('import <file>')
    .description('Read such a file (- for standard input) into an empty database, whole or not at all.')
    .option('--accept-broken-chain', 'take an audit log that does not verify, as it is')
    .option('--json', 'print for machines')
    .addHelpText(
      'after',
      `
The database must be new: no server has started on it. The secret key must be the one of the server that the file comes
from (GATEHOUSE_SECRET_KEY, or the file secret.key in its data directory).`,
    )
    .action(runImport);
}

async function runExport(file: string, { json }: { json?: true }): Promise<void> {
  const isStream = file === STANDARD_STREAM;
  if (isStream && process.stdout.isTTY) throw misuse('Name a file: a terminal is no place for an export.');
  const { exportData } = await import('./data/export.ts');
  const { LEFT_BEHIND_NOTE } = await import('./data/tables.ts');
  await withOperator(
    async ({ state: { db, sealer, clock }, by, signal }) => {
      const rows = await (isStream
        ? exportData({ db, sealer, clock, by, signal, write })
        : writeNewFile(file, (writeLines) =>
            exportData({ db, sealer, clock, by, signal, write: writeLines }),
          ));
      if (isStream) return;
      if (json) return printJson({ file, rows, sealing_key_id: sealer.currentKeyId });
      await print(`Wrote ${count(rows, 'row')} to ${file}.`);
      note(LEFT_BEHIND_NOTE);
      note('To import it, the same secret key must be configured.');
    },
    { mayChange: true },
  );
}

async function runImport(
  file: string,
  { acceptBrokenChain = false, json }: { acceptBrokenChain?: boolean; json?: true },
): Promise<void> {
  const [{ importData }, { readLines }, { LEFT_BEHIND_NOTE }] = await Promise.all([
    import('./data/import.ts'),
    import('./data/lines.ts'),
    import('./data/tables.ts'),
  ]);
  const source = file === STANDARD_STREAM ? process.stdin : await openForReading(file);
  await withOperator(
    async ({ state: { db, sealer, clock }, by, signal }) => {
      const lines = readLines(source as AsyncIterable<Uint8Array>);
      const { rows, chainProblem, hasSameKey } = await importData({
        db,
        sealer,
        clock,
        by,
        lines,
        mayBeBroken: acceptBrokenChain,
        signal,
      });
      if (chainProblem)
        note(
          `The audit log is broken at row ${chainProblem.seq}, and was so in the file: ${chainProblem.message}.`,
        );
      if (!hasSameKey) note('It was sealed with an earlier secret key: gatehouse keys reseal');
      if (json) return printJson({ rows, chain_whole: chainProblem === undefined });
      await print(`Imported ${count(rows, 'row')}.`);
      note(LEFT_BEHIND_NOTE);
    },
    { mayChange: true },
  );
}

/** Only its owner may read it, and nothing is overwritten; half of it is not left behind. */
async function writeNewFile<T>(
  file: string,
  work: (write: (lines: string) => Promise<void>) => Promise<T>,
): Promise<T> {
  const handle = await open(file, 'wx', 0o600).catch((cause: unknown) => {
    const { code = String(cause) } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST')
      throw new AppError('file_exists', 409, `There is a file ${file} already. Name another.`, { cause });
    throw new AppError('unwritable_file', 400, `The file ${file} cannot be written (${code}).`, { cause });
  });
  let isWhole = false;
  try {
    const result = await work((lines) => handle.appendFile(lines));
    await handle.sync();
    isWhole = true;
    return result;
  } finally {
    await handle.close();
    if (!isWhole) await rm(file, { force: true });
  }
}

async function openForReading(file: string): Promise<AsyncIterable<Uint8Array>> {
  const handle = await open(file, 'r').catch((cause: unknown) => {
    const { code = String(cause) } = cause as NodeJS.ErrnoException;
    throw new AppError('unreadable_file', 400, `The file ${file} cannot be read (${code}).`, { cause });
  });
  return handle.createReadStream();
}
