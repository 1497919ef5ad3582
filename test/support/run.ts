/**
 * `npm test` and `npm run test:long`: brings up what the tests need, runs Jest, ends what it started.
 *
 *     npm test                          everything but test/long
 *     npm test -- test/unit -t hashing  the arguments go to Jest
 *     npm run test:long                 test/long, one file after the other
 *     node bin/gatehouse.mjs run test/support/run.ts --exec COMMAND [ARGUMENT …]
 *                                       runs a command beside the same services instead of Jest
 *
 * PostgreSQL comes from the embedded binaries; Redis, Chromium and HAProxy from the system or by apt-get. Where
 * Debian's PostgreSQL 15 is installed, what leans on the database most runs on it as well. Servers named by
 * GATEHOUSE_TEST_DATABASE_URL and GATEHOUSE_TEST_REDIS_URL are used instead of our own. Where
 * GATEHOUSE_TEST_COUNTS_FILE is set, the numbers of tests, and what failed, are appended to it as a line of JSON.
 */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import path from 'node:path';

import { formatCounts, readCounts, startJest, sum, type Counts } from './jest-pass.ts';
import { bringUpServices, type Services } from './services/bring-up.ts';
import { endLeftovers, findLeftovers } from './services/leftovers.ts';
import { startProcess, type RunningProcess } from './services/process.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');
const OLDEST_POSTGRES = 15;
/** What runs on the oldest PostgreSQL too: the migrations, and all that is written in SQL. */
const ON_OLDEST_POSTGRES = [
  'test/contract/',
  ...['accounts', 'audit', 'clients', 'keys', 'rbac', 'store'].map(
    (subject) => `test/integration/${subject}/`,
  ),
];

interface Pass {
  args: string[];
  /** The major version of Debian's PostgreSQL to run on, instead of the ordinary one. */
  postgres?: number;
}

let current: RunningProcess | undefined;
let interruptedBy: NodeJS.Signals | undefined;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    interruptedBy ??= signal;
    void current?.stop();
  });
}

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  say(error instanceof Error ? error.message : String(error));
  return 1;
});
if (interruptedBy) process.exitCode = interruptedBy === 'SIGINT' ? 130 : 143;

async function main(args: string[]): Promise<number> {
  const command = args[0] === '--exec' ? args.slice(1) : undefined;
  const isLong = args[0] === '--long';
  const jestArguments = isLong ? args.slice(1) : args;
  const isWhole = command === undefined && jestArguments.length === 0;

  const services = await bringUpServices({ given: process.env, isWhole, say });
  try {
    const runId = randomUUID();
    const environment = { ...process.env, ...services.environment, GATEHOUSE_TEST_RUN_ID: runId };
    if (command !== undefined) {
      const forCommand = { ...environment, GATEHOUSE_TEST_NODE: process.execPath };
      return await runToItsEnd(() => startCommand(command, forCommand));
    }

    const passes = isLong ? longPass(jestArguments) : ordinaryPasses(jestArguments);
    const counts = await runPasses(passes, { services, environment });
    counts.push(await countLeftovers(`GATEHOUSE_TEST_RUN_ID=${runId}`));
    return await report(sum(counts));
  } finally {
    await services.stop();
  }
}

function longPass(jestArguments: string[]): Pass[] {
  return [{ args: [...(jestArguments.length > 0 ? jestArguments : ['test/long/']), '--runInBand'] }];
}

function ordinaryPasses(jestArguments: string[]): Pass[] {
  const options = [
    '--maxWorkers=2',
    '--testPathIgnorePatterns=/node_modules/',
    '--testPathIgnorePatterns=/test/long/',
  ];
  const everything = { args: [...jestArguments, ...options] };
  const paths = ON_OLDEST_POSTGRES.filter((directory) => existsSync(path.join(ROOT, directory)));
  // A developer who asks for some tests, or who brought a database, chose what to run them on.
  const isChosen = jestArguments.length > 0 || Boolean(process.env['GATEHOUSE_TEST_DATABASE_URL']);
  if (isChosen || paths.length === 0) return [everything];
  return [everything, { args: [...paths, ...options], postgres: OLDEST_POSTGRES }];
}

function startCommand([command = '', ...args]: string[], environment: NodeJS.ProcessEnv): RunningProcess {
  return startProcess(command, args, { cwd: ROOT, env: environment });
}

async function runPasses(
  passes: readonly Pass[],
  { services, environment }: { services: Services; environment: NodeJS.ProcessEnv },
): Promise<Counts[]> {
  const counts: Counts[] = [];
  for (const [index, { args, postgres }] of passes.entries()) {
    const passEnvironment = { ...environment };
    if (postgres !== undefined) {
      const url = await services.startDebianPostgres(postgres);
      if (url === undefined) {
        say(
          `PostgreSQL ${postgres} is not installed: nothing runs on it (apt-get install postgresql-${postgres})`,
        );
        continue;
      }
      say(`once more on PostgreSQL ${postgres}:`);
      passEnvironment['GATEHOUSE_TEST_DATABASE_URL'] = url;
    }
    const reportFile = path.join(services.directory, `report-${index}.json`);
    const exitCode = await runToItsEnd(() => startJest({ args, environment: passEnvironment, reportFile }));
    counts.push(await readCounts(reportFile, exitCode));
  }
  return counts;
}

/** @returns the exit code; 1 when it was ended by a signal or could not be started */
async function runToItsEnd(start: () => RunningProcess): Promise<number> {
  if (interruptedBy) return 1;
  current = start();
  const result = await current.ended;
  current = undefined;
  if (typeof result === 'number') return result;
  say(`ended by ${result}`);
  return 1;
}

/** What is still running when all tests are done is a fault of theirs, and counts as one. */
async function countLeftovers(mark: string): Promise<Counts> {
  const leftovers = await findLeftovers(mark);
  if (leftovers.length === 0) return { passed: 0, failed: 0, skipped: 0, failures: [] };
  say('the tests left these processes running; they have been ended now:');
  for (const { pid, command } of leftovers) say(`  ${pid} ${command}`);
  endLeftovers(leftovers);
  const failures = leftovers.map(({ command }) => `left running: ${command}`);
  return { passed: 0, failed: 1, skipped: 0, failures };
}

async function report(total: Counts): Promise<number> {
  const countsFile = process.env['GATEHOUSE_TEST_COUNTS_FILE'];
  if (countsFile) await appendFile(countsFile, `${JSON.stringify(total)}\n`);
  process.stdout.write(`\n${formatCounts(total)}\n`);
  return total.failed === 0 && total.passed > 0 ? 0 : 1;
}

function say(message: string): void {
  process.stderr.write(`${message}\n`);
}
