import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createProgram } from '../../../src/cli/program.ts';
import { documentSettings } from '../../../src/config/document.ts';
import { createTestCli, runCli, type TestCli } from '../../support/cli.ts';

let cli: TestCli;
beforeAll(async () => {
  cli = await createTestCli();
});
afterAll(() => cli.stop());

describe('misuse', () => {
  it.each([
    [['user', 'list'], "Unknown command 'user'. Did you mean users?"],
    [['users', 'creat'], "Unknown command 'creat'. Did you mean create?"],
    [['users', 'create', '--emial', 'a@example.org'], "Unknown option '--emial'. Did you mean --email?"],
    [
      ['keys', 'retire', '-i2HpuO', '--now'],
      "Unknown option '-i2HpuO'. --help lists what there is. A value that",
    ],
    [['users', 'show'], "Missing required argument 'user'."],
    [['roles', 'create', 'a', 'b'], 'Too many arguments'],
    [['audit', 'list', '--since', 'yesterday'], 'Give a time such as'],
    [['audit', 'list', '--type', 'token.isued'], 'Did you mean token.issued?'],
    [['audit', 'export', '--type', 'sign_in', 'nonsense'], 'No event is of the type "nonsense".'],
    [['audit', 'list', '--limit', '0'], 'Give a whole number'],
    [['audit', 'list', '--limit', '10001'], 'At most 10000 are listed'],
    [['keys', 'rotate', '--cookies', '--immediately'], '--cookies goes with neither'],
    [['users', 'set-password', 'a@example.org'], 'Give the new password by --password-stdin'],
  ])('%j ends with 2 and says how', async (args, message) => {
    // Without a single setting: what is misunderstood opens nothing.
    const { code, stdout, stderr } = await runCli(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^gatehouse: /);
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  it.each([[['users', 'creat', '--json']], [['clients', '--json']], [['nonsense', '--json']]])(
    '%j is told to machines as JSON',
    async (args) => {
      const { code, error } = await runCli(args);
      expect(code).toBe(2);
      expect(error()).toEqual({ error: 'misused', error_description: expect.any(String) });
    },
  );

  it.each([[[]], [['clients']]])('%j shows what there is', async (args) => {
    const { code, stdout, stderr } = await runCli(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^Usage: gatehouse .*\n\n.*\n\nOptions:[\s\S]*Commands:/);
  });
});

describe('help', () => {
  it('is there for every command, with a summary of each', () => {
    const program = createProgram({ isForMachines: false });
    const nouns = program.commands;
    const verbs = nouns.flatMap((noun) => noun.commands);
    const deeper = verbs.flatMap((verb) => verb.commands);
    expect(nouns.length).toBeGreaterThanOrEqual(9);
    expect(verbs.length).toBeGreaterThanOrEqual(31);
    for (const command of [...nouns, ...verbs, ...deeper]) {
      expect(command.description()).toMatch(/^[A-Z].*\S$/);
      for (const option of command.options) expect(option.description).not.toBe('');
    }
    // Whatever prints a result prints it for machines too.
    const silent = new Set(['start', 'docs']);
    const leaves = [...nouns, ...verbs, ...deeper].filter(({ commands }) => commands.length === 0);
    const mute = leaves.filter(
      (command) => !silent.has(command.name()) && !command.options.some(({ long }) => long === '--json'),
    );
    expect(mute.map((command) => command.name())).toEqual([]);
  });

  it.each(['create', 'update'])('puts every option of `clients %s` under a heading', (verb) => {
    const clients = createProgram({ isForMachines: false }).commands.find(
      (noun) => noun.name() === 'clients',
    );
    const command = clients?.commands.find((each) => each.name() === verb);
    const elsewhere = command?.options.filter(({ helpGroupHeading }) => helpGroupHeading === undefined);
    expect(elsewhere?.map(({ long }) => long)).toEqual(
      verb === 'create' ? ['--json'] : ['--clear', '--json'],
    );
  });

  it.each([
    [['--help'], /^Usage: gatehouse .*Exit status: 0 done, 1 refused, 2 misused\./s],
    [['clients', 'create', '--help'], /^Usage: gatehouse clients create .*Examples:/s],
    [['help', 'users'], /^Usage: gatehouse users /],
    [['--version'], /^\d+\.\d+\.\d+\S*\n$/],
  ])('%j is a result', async (args, expected) => {
    const { code, stdout, stderr } = await runCli(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(expected);
  });
});

describe('the settings', () => {
  it('are shown with secrets masked', async () => {
    const { code, stdout, stderr } = await cli.run(['config', 'check'], {
      env: { GATEHOUSE_DATABASE_URL: 'postgres://gatehouse:hush@db.example/gatehouse' },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^secretKey +\*+ +\(GATEHOUSE_SECRET_KEY\)$/m);
    expect(stdout).toMatch(/^database\.url +postgres:\/\/gatehouse:\*+@db\.example\/gatehouse +/m);
    expect(stdout).not.toContain('hush');
    expect(stdout).not.toContain(cli.env['GATEHOUSE_SECRET_KEY']);
  });

  it('are checked all at once', async () => {
    const env = { GATEHOUSE_ENV: 'production', GATEHOUSE_DEMO: 'true', GATEHOUSE_SECRET_KEY: '' };
    const { code, json } = await cli.run(['config', 'check', '--json'], { env });
    const { ok, problems, settings } = json<{
      ok: boolean;
      problems: { code: string }[];
      settings: object[];
    }>();
    expect([code, ok]).toEqual([1, false]);
    expect(problems.map((problem) => problem.code)).toEqual(
      expect.arrayContaining([
        'production_issuer_not_https',
        'production_secret_key_missing',
        'production_demo_on',
      ]),
    );
    expect(settings).toContainEqual(
      expect.objectContaining({
        path: 'demo',
        variable: 'GATEHOUSE_DEMO',
        value: true,
        origin: 'GATEHOUSE_DEMO',
      }),
    );
  });

  it('that are wrong keep every command from starting', async () => {
    const { code, error } = await cli.run(['users', 'list', '--json'], { env: { GATEHOUSE_ISUER: 'x' } });
    expect(code).toBe(1);
    expect(error()).toEqual({
      error: 'invalid_configuration',
      error_description: expect.stringMatching(/GATEHOUSE_ISUER: .*Did you mean GATEHOUSE_ISSUER/),
    });
  });

  it('are documented', async () => {
    expect((await runCli(['config', 'docs'])).stdout).toBe(documentSettings());
  });
});

describe('a database', () => {
  it('that does not answer is waited for as long as the settings say', async () => {
    const { code, stdout, stderr } = await cli.run(['users', 'list', '--json'], {
      env: {
        GATEHOUSE_DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
        GATEHOUSE_STARTUP_WAIT_SECONDS: '1',
      },
    });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    const lines = stderr.trimEnd().split('\n');
    expect(lines[0]).toContain('Waiting for PostgreSQL');
    expect(JSON.parse(lines.at(-1)!)).toEqual({
      error: 'not_reachable',
      error_description: expect.stringContaining('PostgreSQL did not answer within 1 second'),
    });
  });

  it('is migrated, once', async () => {
    expect((await cli.run(['migrate', '--json'])).json()).toEqual({ applied: [] });
    expect((await cli.run(['migrate'])).stdout).toBe('The schema is up to date.\n');
  });

  it('is enough: no command needs Redis', async () => {
    const env = { GATEHOUSE_REDIS_URL: 'redis://127.0.0.1:1' };
    expect((await cli.run(['roles', 'list', '--json'], { env })).code).toBe(0);
  });
});
