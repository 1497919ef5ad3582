import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';

import { startProcess, type RunningProcess } from './services/process.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');
const JEST = path.join(ROOT, 'node_modules', 'jest', 'bin', 'jest.js');

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
  /** File, name and first lines of what failed; in what order does not matter. */
  failures: string[];
}

/** The part of Jest's report that is read here; a suite that cannot be loaded has no tests, only a runtime error. */
interface JestReport {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  numRuntimeErrorTestSuites: number;
  success: boolean;
  testResults: {
    name: string;
    message: string;
    assertionResults: { status: string; fullName: string; failureMessages?: string[] }[];
  }[];
}

const LINES_OF_A_FAILURE = 12;

export function startJest({
  args,
  environment,
  reportFile,
}: {
  args: readonly string[];
  environment: NodeJS.ProcessEnv;
  reportFile: string;
}): RunningProcess {
  return startProcess(
    process.execPath,
    [
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      JEST,
      // Before the options, some of which would swallow them.
      ...args,
      '--json',
      `--outputFile=${reportFile}`,
    ],
    { cwd: ROOT, env: environment },
  );
}

/** What the run came to. A suite that failed to load, a crash and a run without any test count as failures. */
export async function readCounts(reportFile: string, exitCode: number | string): Promise<Counts> {
  const report = await readFile(reportFile, 'utf8')
    .then((text) => JSON.parse(text) as JestReport)
    .catch(() => undefined);
  if (!report) return { passed: 0, failed: 1, skipped: 0, failures: [`Jest ended with ${exitCode}`] };

  const counts = {
    passed: report.numPassedTests,
    failed: report.numFailedTests + report.numRuntimeErrorTestSuites,
    skipped: report.numPendingTests + report.numTodoTests,
    failures: report.testResults.flatMap(failuresOf),
  };
  const isGood = exitCode === 0 && report.success && counts.passed > 0;
  if (isGood || counts.failed > 0) return counts;
  return { ...counts, failed: 1, failures: [`Jest ended with ${exitCode}`] };
}

function failuresOf({ name, message, assertionResults }: JestReport['testResults'][number]): string[] {
  const file = path.relative(ROOT, name);
  const failed = assertionResults.filter(({ status }) => status === 'failed');
  if (failed.length === 0 && message !== '') return [`${file}\n${firstLines(message)}`];
  return failed.map(
    ({ fullName, failureMessages = [] }) => `${file}: ${fullName}\n${firstLines(failureMessages.join('\n'))}`,
  );
}

function firstLines(text: string): string {
  const plain = stripVTControlCharacters(text).replaceAll(`${ROOT}${path.sep}`, '');
  return plain.split('\n').slice(0, LINES_OF_A_FAILURE).join('\n');
}

export function sum(all: readonly Counts[]): Counts {
  return {
    passed: all.reduce((total, { passed }) => total + passed, 0),
    failed: all.reduce((total, { failed }) => total + failed, 0),
    skipped: all.reduce((total, { skipped }) => total + skipped, 0),
    failures: all.flatMap(({ failures }) => failures),
  };
}

export function formatCounts({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}
