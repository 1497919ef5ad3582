import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { isAlive, until } from '../support/embedded-postgres/spawn.ts';

const LAUNCHER = path.join(import.meta.dirname, '..', '..', 'bin', 'gatehouse.mjs');
const PROGRAM = path.join(import.meta.dirname, '..', 'support', 'launcher', 'program.ts');

/** A Node on this machine that is too old to run the sources itself. */
const oldNode = (process.env['PATH'] ?? '')
  .split(path.delimiter)
  .concat('/usr/bin', '/usr/local/bin')
  .map((directory) => path.join(directory, 'node'))
  .find((file) => {
    if (!existsSync(file)) return false;
    const { stdout } = spawnSync(file, ['--version'], { encoding: 'utf8' });
    return Number.parseInt(stdout.slice(1), 10) < 24;
  });
const withOldNode = oldNode === undefined ? describe.skip : describe;
const nodes = oldNode === undefined ? [process.execPath] : [process.execPath, oldNode];

interface Outcome {
  code: number | null;
  signal: NodeJS.Signals | null;
  output: string;
  errors: string;
}

function launch(
  node: string,
  args: readonly string[],
  { cwd = os.tmpdir(), launcher = LAUNCHER }: { cwd?: string; launcher?: string } = {},
) {
  return collect(spawn(node, [launcher, ...args], { cwd, stdio: 'pipe' }));
}

function collect(child: ReturnType<typeof spawn>) {
  const outcome: Outcome = { code: null, signal: null, output: '', errors: '' };
  child.stdout?.on('data', (chunk: Buffer) => (outcome.output += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (outcome.errors += chunk.toString()));
  const end = once(child, 'close').then(([code, signal]: unknown[]) => {
    outcome.code = code as number | null;
    outcome.signal = signal as NodeJS.Signals | null;
    return outcome;
  });
  const listening = async (): Promise<number> => {
    await until(() => outcome.output.includes('listening'));
    return Number(/listening (\d+)/.exec(outcome.output)?.[1]);
  };
  return { child, end, outcome, listening };
}

describe.each(nodes)('the launcher, run by %s', (node) => {
  it('runs a TypeScript file by Node 24, with its arguments and nothing of our own', async () => {
    const { child, end } = launch(node, ['run', PROGRAM, 'describe', '--json', 'a b', '']);
    const { code, output, errors } = await end;
    const { pid, ...description } = JSON.parse(output) as { pid: number; major: number };
    expect(description).toEqual({
      major: expect.any(Number),
      script: PROGRAM,
      arguments: ['describe', '--json', 'a b', ''],
      environment: [],
    });
    expect(description.major).toBeGreaterThanOrEqual(24);
    // No second process where this Node is new enough.
    expect(pid === child.pid).toBe(node === process.execPath);
    expect({ code, errors }).toEqual({ code: 0, errors: '' });
  });

  it('finds a file below the folder it is called from', async () => {
    const { end } = launch(node, ['run', path.basename(PROGRAM), 'describe'], { cwd: path.dirname(PROGRAM) });
    expect(await end).toMatchObject({ code: 0 });
  });

  it.each([0, 1, 2, 77])('passes on the exit code %i', async (code) => {
    expect(await launch(node, ['run', PROGRAM, 'exit', String(code)]).end).toMatchObject({
      code,
      signal: null,
    });
  });

  it.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)('ends by %s where the program did', async (signal) => {
    expect(await launch(node, ['run', PROGRAM, 'die', signal]).end).toMatchObject({ code: null, signal });
  });

  it('ends with 1 and the reason where the program throws', async () => {
    const { code, errors } = await launch(node, ['run', PROGRAM, 'nonsense']).end;
    expect(code).toBe(1);
    expect(errors).toContain('unknown: nonsense');
  });

  it('passes standard input through', async () => {
    const { child, end } = launch(node, ['run', PROGRAM, 'echo']);
    child.stdin?.end('a secret');
    expect(await end).toMatchObject({ code: 0, output: 'a secret' });
  });

  it('shows the warnings that are not about TypeScript', async () => {
    expect((await launch(node, ['run', PROGRAM, 'warn']).end).errors).toContain('mind the gap');
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    'passes %s on, once, and waits for the program',
    async (signal) => {
      const { child, end, listening } = launch(node, ['run', PROGRAM, 'listen']);
      const pid = await listening();
      child.kill(signal);
      const { code, output } = await end;
      expect(output.match(/got \w+/g)).toEqual([`got ${signal}`]);
      expect(code).toBe(7);
      expect(isAlive(pid)).toBe(false);
    },
  );

  it('takes the program with it when it is killed', async () => {
    const { child, listening } = launch(node, ['run', PROGRAM, 'listen']);
    const pid = await listening();
    child.kill('SIGKILL');
    await until(() => !isAlive(pid), 10_000);
  });

  const withTerminal = existsSync('/usr/bin/script') && process.platform === 'linux' ? it : it.skip;
  withTerminal('lets Ctrl-C in a terminal reach the program exactly once', async () => {
    const command = [node, LAUNCHER, 'run', PROGRAM, 'listen'].map((word) => `'${word}'`).join(' ');
    const { child, end, listening } = collect(
      // `exec`, or the shell between would end by the same Ctrl-C before the program does.
      spawn('/usr/bin/script', ['-qefc', `exec ${command}`, '/dev/null'], { stdio: 'pipe' }),
    );
    const pid = await listening();
    child.stdin?.write('\u0003');
    const { code, output } = await end;
    expect(output.match(/got \w+/g)).toEqual(['got SIGINT']);
    expect(code).toBe(7);
    expect(isAlive(pid)).toBe(false);
  });

  it.each([
    [['run'], /Usage/],
    [['run', 'no-such-file.ts'], /no file .*no-such-file\.ts/],
  ])('says what is wrong with %j, and ends with 2', async (args, message) => {
    const { code, errors } = await launch(node, args).end;
    expect(code).toBe(2);
    expect(errors).toMatch(message);
  });
});

withOldNode('where no Node 24 came along', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'gh-launcher-'));
    await mkdir(path.join(folder, 'bin'));
    await copyFile(LAUNCHER, path.join(folder, 'bin', 'gatehouse.mjs'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('says how to get it, and ends with 2', async () => {
    const launcher = path.join(folder, 'bin', 'gatehouse.mjs');
    const { code, output, errors } = await launch(oldNode ?? '', ['start'], { launcher }).end;
    expect({ code, output }).toEqual({ code: 2, output: '' });
    expect(errors).toMatch(/needs Node\.js 24 .*npm ci.*https:\/\/nodejs\.org/s);
    expect(errors).not.toMatch(/\n\s+at /);
  });
});

it('is plain JavaScript that needs no package', async () => {
  const source = await readFile(LAUNCHER, 'utf8');
  const imported = [...source.matchAll(/from '([^']+)'/g)].map(([, name]) => name);
  expect(imported.length).toBeGreaterThan(0);
  expect(imported.filter((name) => !name?.startsWith('node:'))).toEqual([]);
});
