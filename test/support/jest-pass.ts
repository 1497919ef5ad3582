import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { startProcess, type RunningProcess } from './services/process.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');
const JEST = path.join(ROOT, 'node_modules', 'jest', 'bin', 'jest.js');

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** The part of Jest's report that is read here; a suite that cannot be loaded has no tests, only a runtime error. */
interface JestReport {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  numRuntimeErrorTestSuites: number;
  success: boolean;
}

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
  if (!report) return { passed: 0, failed: 1, skipped: 0 };

  const counts = {
    passed: report.numPassedTests,
    failed: report.numFailedTests + report.numRuntimeErrorTestSuites,
    skipped: report.numPendingTests + report.numTodoTests,
  };
  const isGood = exitCode === 0 && report.success && counts.passed > 0;
  return isGood || counts.failed > 0 ? counts : { ...counts, failed: 1 };
}

export function sum(all: readonly Counts[]): Counts {
  return {
    passed: all.reduce((total, { passed }) => total + passed, 0),
    failed: all.reduce((total, { failed }) => total + failed, 0),
    skipped: all.reduce((total, { skipped }) => total + skipped, 0),
  };
}

export function formatCounts({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}
