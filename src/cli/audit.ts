import { Option, type Command } from 'commander';

import type { AuditFilter, AuditRecord } from '../audit/query.ts';
import type { VerifyResult } from '../audit/verify.ts';
import { closest } from '../config/unknown-variables.ts';
import { AppError } from '../platform/errors.ts';
import { EXIT_REFUSED, misuse } from './failure.ts';
import { parseCount, parseTime, readGiven } from './input.ts';
import { type Operator, withOperator } from './operator.ts';
import { count, formatFields, formatTable, formatTime, note, print, printJson } from './output.ts';
import { getAccount } from './users.ts';

const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;
const MAX_LISTED = 10_000;

interface FilterOptions {
  since?: Date;
  until?: Date;
  type?: string[];
  account?: string;
  client?: string;
  request?: string;
  outcome?: 'success' | 'failure';
}

export function addAudit(program: Command): void {
  const audit = program
    .command('audit')
    .description('The audit log: everything that was issued, refused or changed.');

  addFilter(audit.command('list').description('List the newest events that fit, the newest last.'))
    .option('--limit <number>', 'at most so many', parseCount, 100)
    .option('--json', 'print for machines, one event a line')
    .addHelpText(
      'after',
      `
Examples:
  $ gatehouse audit list --since 10m
  $ gatehouse audit list --account ada@example.com --type sign_in --outcome failure
  $ gatehouse audit list --request 01979a… --json`,
    )
    .action(listEvents);

  audit
    .command('verify')
    .description('Walk the hash chain and name the first row that is not as it was written.')
    .option(
      '--checkpoints <file>',
      'signed checkpoints kept elsewhere: they show whether the end was cut off',
    )
    .option('--json', 'print for machines')
    .addHelpText('after', '\nEnds with 1 where the chain is broken.')
    .action(verify);

  addFilter(audit.command('export').description('Print every event that fits, one JSON object a line.'))
    .option('--json', 'what it does anyway')
    .addHelpText(
      'after',
      '\nExample:\n  $ gatehouse audit export --since 2026-01-01 --until 2026-02-01 > january.jsonl',
    )
    .action(exportEvents);

  audit
    .command('erase <user>')
    .description('Erase a person’s details (addresses, browsers, names) from the log. The chain stays whole.')
    .option('--json', 'print for machines')
    .addHelpText('after', '\nThis cannot be undone. The account itself is not touched.')
    .action(erase);
}

function addFilter(command: Command): Command {
  return command
    .option('--since <time>', 'from then on: 2026-01-31, 2026-01-31T09:00Z, or 10m, 2h, 3d ago', parseTime)
    .option('--until <time>', 'before then', parseTime)
    .option('--type <type...>', 'of these types, or their first word: token.issued, sign_in')
    .option('--account <user>', 'what happened to an account and what it did; by e-mail address, name or id')
    .option('--client <client-id>', 'about a client')
    .option('--request <id>', 'of one request, by its X-Request-Id or the eight characters that a page shows')
    .addOption(new Option('--outcome <outcome>', 'only these').choices(['success', 'failure']));
}

/** @throws AppError `misused` for a word that no event is called by: nothing would fit, and look like good news */
async function expectTypes(types: readonly string[] = []): Promise<void> {
  const { auditEvents } = await import('../audit/events.ts');
  const known = Object.keys(auditEvents).flatMap((type) => [type, type.split('.')[0] ?? type]);
  const stranger = types.find((type) => !known.includes(type));
  if (stranger === undefined) return;
  const candidate = closest(stranger, known);
  throw misuse(
    `No event is of the type ${JSON.stringify(stranger)}.${candidate === undefined ? '' : ` Did you mean ${candidate}?`}`,
  );
}

async function listEvents({
  limit,
  json,
  ...options
}: FilterOptions & { limit: number; json?: true }): Promise<void> {
  if (limit > MAX_LISTED)
    throw misuse(`At most ${MAX_LISTED} are listed; \`audit export\` gives all of them.`);
  await expectTypes(options.type);
  await withOperator(async (operator) => {
    const filter = await toFilter(operator, options);
    const { events, before } = await operator.subjects.audit.list({ ...filter, limit });
    if (json) {
      for (const event of events) await printJson(event);
      return;
    }
    if (events.length === 0) return print('No event fits.');
    await print(formatEvents(events));
    if (before !== undefined) note(`Older ones fit too: --limit takes up to ${MAX_LISTED}.`);
  });
}

async function exportEvents(options: FilterOptions): Promise<void> {
  await expectTypes(options.type);
  await withOperator(async (operator) => {
    const filter = await toFilter(operator, options);
    for await (const event of operator.subjects.audit.export(filter)) await printJson(event);
  });
}

async function verify({ checkpoints: file, json }: { checkpoints?: string; json?: true }): Promise<void> {
  const { parseCheckpoints } = await import('../audit/checkpoints.ts');
  const lines = file === undefined ? '' : (await readGiven(file)).toString();
  await withOperator(
    async ({ state: { db, clock, sealer }, subjects, by }) => {
      const checkpoints = orRefuse(file, () => parseCheckpoints(lines));
      // What commands have changed while no server ran is chained first, and so verified too.
      await subjects.audit.link();
      const result = await subjects.audit.verify({
        checkpoints,
        checkpointKeys: sealer.deriveKeys('audit-checkpoint'),
      });
      const { appendInTransaction } = await import('../audit/append.ts');
      await appendInTransaction(
        db,
        {
          type: 'audit.verified',
          outcome: result.isWhole ? 'success' : 'failure',
          actor: by,
          payload: {
            ok: result.isWhole,
            rows: result.rows,
            ...(result.problem ? { problem: `${result.problem.kind} at ${result.problem.seq}` } : {}),
          },
        },
        { clock },
      );
      await (json ? printJson(presentResult(result)) : print(formatResult(result)));
      if (!result.isWhole) process.exitCode = EXIT_REFUSED;
    },
    { mayChange: true },
  );
}

async function erase(user: string, { json }: { json?: true }): Promise<void> {
  const [{ erasePersonal }, { appendInTransaction }] = await Promise.all([
    import('../audit/erasure.ts'),
    import('../audit/append.ts'),
  ]);
  await withOperator(
    async (operator) => {
      const { db, clock } = operator.state;
      const { id } = await getAccount(operator, user);
      const rows = await db.transaction(async (tx) => {
        const erased = await erasePersonal(tx, id);
        await appendInTransaction(
          tx,
          {
            type: 'audit.personal_erased',
            outcome: 'success',
            actor: operator.by,
            accountId: id,
            payload: { rows: erased },
          },
          { clock },
        );
        return erased;
      });
      await (json
        ? printJson({ id, events: rows })
        : print(`Erased the personal details of ${count(rows, 'event')}.`));
    },
    { mayChange: true },
  );
}

/** @throws AppError `account_not_found`, for an account that is not given by its id */
async function toFilter(
  operator: Operator,
  { since, until, type, account, client, request, outcome }: FilterOptions,
): Promise<AuditFilter> {
  const accountId =
    account === undefined || UUID.test(account) ? account : (await getAccount(operator, account)).id;
  return { since, until, types: type, accountId, clientId: client, requestId: request, outcome };
}

function orRefuse<T>(file: string | undefined, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AppError('invalid_checkpoints', 400, `${file}: ${reason}.`, { cause });
  }
}

function formatEvents(events: readonly AuditRecord[]): string {
  return formatTable(
    ['AT (UTC)', 'EVENT', 'OUTCOME', 'BY', 'ACCOUNT', 'CLIENT', 'REQUEST', 'DETAILS'],
    events.map((event) => [
      formatTime(event.at),
      event.type,
      event.outcome,
      event.actor ? `${event.actor.kind} ${event.actor.id ?? ''}`.trimEnd() : undefined,
      event.account_id ?? undefined,
      event.client_id ?? undefined,
      event.request_id ?? undefined,
      formatDetails(event),
    ]),
  );
}

function formatDetails({ payload, ip }: AuditRecord): string {
  const details = Object.entries(payload).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return [...(ip === null ? [] : [`from=${ip}`]), ...details].join(' ');
}

function presentResult({
  isWhole,
  problem,
  rows,
  head,
  erased,
  unlinked,
  checkpoints,
}: VerifyResult): object {
  return { ok: isWhole, problem: problem ?? null, rows, head, erased, unlinked, checkpoints };
}

function formatResult({ isWhole, problem, rows, head, erased, unlinked, checkpoints }: VerifyResult): string {
  return [
    isWhole
      ? `The chain is whole: ${count(rows, 'row')}.`
      : `THE CHAIN IS BROKEN at row ${problem?.seq}: ${problem?.message}. ${count(rows, 'row')} before it ${rows === 1 ? 'is' : 'are'} sound.`,
    formatFields([
      ['Row', problem?.id],
      ['Head', `${head.seq} ${head.hash}`],
      ['Erased details', erased === 0 ? undefined : count(erased, 'row')],
      ['Not chained yet', unlinked === 0 ? undefined : count(unlinked, 'row')],
      ['Checkpoints', checkpoints === 0 ? undefined : `${checkpoints} compared`],
    ]),
  ].join('\n');
}
