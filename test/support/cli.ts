import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { createTestDatabase, type TestDatabase } from './database.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');
const LAUNCHER = path.join(ROOT, 'bin', 'gatehouse.mjs');
/** Each start would compile the same sources again, which is most of what it takes. */
const COMPILE_CACHE = path.join(ROOT, 'node_modules', '.cache', 'gatehouse-compiled');
export const CLI_SECRET_KEY = 'a-secret-key-for-cli-tests-0123456789abcdef';

export interface CliOutcome {
  code: number | null;
  stdout: string;
  stderr: string;
  /** Standard output as one JSON value. */
  json: <T = Record<string, unknown>>() => T;
  /** Standard output as a JSON value a line. */
  lines: <T = Record<string, unknown>>() => T[];
  /** Standard error as one JSON value. */
  error: () => { error: string; error_description: string };
}

export interface CliOptions {
  env?: Readonly<Record<string, string>>;
  /** What stands on standard input; nothing without it. */
  input?: string | Uint8Array;
}

/** Runs the real command as an operator would, and waits for its end. The settings are those given and no others. */
export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliOutcome> {
  const child = startCli(args, options);
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [code] = (await once(child, 'close')) as [number | null];
  const parse = (text: string): unknown => {
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new Error(`not JSON: ${JSON.stringify(text)}; standard error: ${stderr}`, { cause });
    }
  };
  return {
    code,
    stdout,
    stderr,
    json: <T>() => parse(stdout) as T,
    lines: <T>() => stdout.split('\n').filter(Boolean).map(parse) as T[],
    error: () => parse(stderr) as { error: string; error_description: string },
  };
}

/** The same without waiting. */
export function startCli(args: readonly string[], { env = {} }: CliOptions = {}) {
  const inherited = Object.entries(process.env).filter(
    ([name]) => name !== 'PORT' && (!name.startsWith('GATEHOUSE_') || name === 'GATEHOUSE_TEST_RUN_ID'),
  );
  return spawn(process.execPath, [LAUNCHER, ...args], {
    cwd: os.tmpdir(),
    env: { ...Object.fromEntries(inherited), NODE_COMPILE_CACHE: COMPILE_CACHE, ...env },
    stdio: 'pipe',
  });
}

/** The words of a command line; what is put in stays one word, whatever it holds. */
export function words(texts: TemplateStringsArray, ...values: readonly string[]): string[] {
  return texts.flatMap((text, index) => [
    ...text.split(/\s+/).filter(Boolean),
    ...(index < values.length ? [values[index] ?? ''] : []),
  ]);
}

export interface TestCli {
  database: TestDatabase;
  env: Record<string, string>;
  run: (args: readonly string[], options?: CliOptions) => Promise<CliOutcome>;
  stop: () => Promise<void>;
}

/** The command line upon a database of its own. */
export async function createTestCli(settings: Readonly<Record<string, string>> = {}): Promise<TestCli> {
  const database = await createTestDatabase();
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'gh-cli-'));
  const env = {
    GATEHOUSE_ENV: 'test',
    GATEHOUSE_DATABASE_URL: database.connectionString,
    GATEHOUSE_SECRET_KEY: CLI_SECRET_KEY,
    GATEHOUSE_DATA_DIR: dataDir,
    ...settings,
  };
  return {
    database,
    env,
    run: (args, options = {}) => runCli(args, { ...options, env: { ...env, ...options.env } }),
    stop: async () => {
      await database.drop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
