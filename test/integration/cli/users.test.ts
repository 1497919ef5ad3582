import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { createInlineHasher } from '../../../src/accounts/hashing/inline.ts';
import { createTestCli, words, type TestCli } from '../../support/cli.ts';

// Several processes to a test, on machines that may be busy.
jest.setTimeout(120_000);

let cli: TestCli;
beforeAll(async () => {
  cli = await createTestCli();
  await cli.run(['roles', 'create', 'editor']);
});
afterAll(() => cli.stop());

const PASSWORD = 'correct-battery-7';

async function hashOf(email: string): Promise<string> {
  const { rows } = await cli.database.db.query<{ password_hash: string }>(
    'select password_hash from accounts where email = $1',
    [email],
  );
  return rows[0]!.password_hash;
}

async function hasPassword(email: string, password: string): Promise<boolean> {
  const reserved = createInlineHasher().reserve();
  if (reserved.kind !== 'ok') throw new Error('busy');
  const [isRight] = await reserved.slot.verifyEach(password, [await hashOf(email)]);
  return isRight === true;
}

describe('users create', () => {
  it('takes the exact form that scripts use, and answers id and sub alone', async () => {
    const { code, json, stderr } = await cli.run(
      words`
          users create --email Ada@example.org --email-verified --username ada
          --name ${'Ada Lovelace'} --password-stdin --role editor --role admin --json`,
      { input: `${PASSWORD}\n` },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(json()).toEqual({ id: expect.stringMatching(/^[\da-f-]{36}$/), sub: expect.any(String) });
    // The line break of `echo` is no part of the password.
    expect(await hasPassword('Ada@example.org', PASSWORD)).toBe(true);

    const { id, sub } = json();
    const shown = (await cli.run(['users', 'show', 'ADA', '--json'])).json();
    expect(shown).toMatchObject({
      id,
      sub,
      email: 'Ada@example.org',
      email_verified: true,
      username: 'ada',
      name: 'Ada Lovelace',
      has_password: true,
      disabled_at: null,
      roles: ['admin', 'editor'],
      totp: false,
      recovery_codes: 0,
    });
    expect(JSON.stringify(shown)).not.toContain('argon2');
  });

  it('keeps white space and a second line break as parts of the password', async () => {
    const input = ' two words and more \n\n';
    const { code, error } = await cli.run(
      ['users', 'create', '--email', 'space@example.org', '--password-stdin', '--json'],
      { input },
    );
    // A control character inside is refused rather than dropped.
    expect(code).toBe(1);
    expect(error()).toMatchObject({ error: 'password_unusable' });
    await cli.run(['users', 'create', '--email', 'space@example.org', '--password-stdin'], {
      input: ' two words and more \r\n',
    });
    expect(await hasPassword('space@example.org', ' two words and more ')).toBe(true);
  });

  it('reads the password from a file, several roles after one option, and keeps a sub', async () => {
    const file = path.join(cli.env['GATEHOUSE_DATA_DIR']!, 'password');
    await writeFile(file, PASSWORD);
    const { json } = await cli.run(words`
        users create --email grace@example.org --role editor admin
        --password-file ${file} --sub grace-of-old --json`);
    expect(json()).toMatchObject({ sub: 'grace-of-old' });
    expect((await cli.run(['users', 'show', 'grace-of-old', '--json'])).json()).toMatchObject({
      email: 'grace@example.org',
      roles: ['admin', 'editor'],
    });
  });

  it.each([
    [
      'a common password',
      ['--email', 'x@example.org', '--password-stdin'],
      'passwordpassword',
      1,
      'password_common',
    ],
    ['a taken address', ['--email', 'ADA@example.org'], '', 1, 'email_taken'],
    ['no address', ['--username', 'x'], '', 2, 'misused'],
    ['nothing on standard input', ['--email', 'x@example.org', '--password-stdin'], '', 2, 'misused'],
    [
      'a file that is not there',
      ['--email', 'x@example.org', '--password-file', '/nowhere'],
      '',
      1,
      'unreadable_file',
    ],
    [
      'two passwords',
      ['--email', 'x@example.org', '--password-stdin', '--password-file', '/x'],
      'x',
      2,
      'misused',
    ],
  ])('refuses %s', async (_, args, input, code, error) => {
    const outcome = await cli.run(['users', 'create', ...args, '--json'], { input });
    expect({ code: outcome.code, stdout: outcome.stdout }).toEqual({ code, stdout: '' });
    expect(outcome.error()).toEqual({ error, error_description: expect.stringMatching(/\w.*\.$/) });
  });

  it('makes no account where one of its roles does not exist', async () => {
    const { code, error } = await cli.run(words`
        users create --email half@example.org --role editor nonsense --json`);
    expect(code).toBe(1);
    expect(error()).toMatchObject({ error: 'role_not_found' });
    expect((await cli.run(['users', 'show', 'half@example.org'])).code).toBe(1);
  });

  it('takes no password as an argument', async () => {
    const { code, stderr } = await cli.run([
      'users',
      'create',
      '--email',
      'y@example.org',
      '--password',
      PASSWORD,
    ]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/Unknown option '--password'\. --help lists what there is\.$/m);
  });
});

describe('an account', () => {
  it('is disabled, enabled and given a password, and all of it is on record', async () => {
    const { id, sub } = (await cli.run(['users', 'create', '--email', 'eve@example.org', '--json'])).json();
    const disabled = await cli.run(['users', 'disable', 'eve@example.org', '--json']);
    expect(disabled.json()).toMatchObject({ id, disabled_at: expect.any(String) });
    expect((await cli.run(['users', 'enable', String(id), '--json'])).json()).toMatchObject({
      disabled_at: null,
    });
    const changed = await cli.run(['users', 'set-password', 'eve@example.org', '--password-stdin'], {
      input: PASSWORD,
    });
    expect(changed.stdout).toBe('eve@example.org has a new password.\n');
    expect(await hasPassword('eve@example.org', PASSWORD)).toBe(true);
    expect((await cli.run(['users', 'reset-factors', 'eve@example.org'])).code).toBe(0);

    const events = (await cli.run(['audit', 'list', '--account', 'eve@example.org', '--json'])).lines();
    expect(events.map(({ type }) => type)).toEqual([
      'account.created',
      'account.disabled',
      'account.enabled',
      'account.password_set',
      'factor.reset',
    ]);
    // No server runs here, and they are in the chain all the same.
    expect(events.every(({ seq }) => typeof seq === 'number')).toBe(true);
    expect(events[0]).toMatchObject({ actor: { kind: 'operator', id: expect.any(String) }, account_id: id });
    const { rows } = await cli.database.db.query<{ reason: string }>(
      'select reason from revocations where subject = $1 order by id',
      [sub],
    );
    expect(rows.map(({ reason }) => reason)).toEqual(['account_disabled', 'password_set', 'factors_reset']);
  });

  it('that nobody has is refused with what to do', async () => {
    const { code, stderr } = await cli.run(['users', 'disable', 'nobody@example.org']);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^gatehouse: There is no account "nobody@example\.org"\. `gatehouse users list --query`/,
    );
  });

  it('that is the last administrator stays, unless the operator insists', async () => {
    await cli.run(['users', 'disable', 'grace-of-old']);
    const refused = await cli.run(['users', 'disable', 'ada', '--json']);
    expect(refused.code).toBe(1);
    expect(refused.error()).toMatchObject({ error: 'last_administrator' });
    expect((await cli.run(['users', 'disable', 'ada', '--force'])).code).toBe(0);
  });
});

describe('users list', () => {
  it('prints a line each, narrowed by a query and a limit', async () => {
    const all = (await cli.run(['users', 'list', '--json'])).lines();
    expect(all.length).toBeGreaterThanOrEqual(4);
    expect(all[0]).toMatchObject({ email: 'Ada@example.org', username: 'ada' });
    const found = (await cli.run(['users', 'list', '--query', 'lovel', '--json'])).lines();
    expect(found.map(({ email }) => email)).toEqual(['Ada@example.org']);
    expect((await cli.run(['users', 'list', '--limit', '2', '--json'])).lines()).toHaveLength(2);
  });

  it('prints a table for people', async () => {
    const { stdout } = await cli.run(['users', 'list']);
    expect(stdout).toMatch(/^ID +E-MAIL +USER NAME +NAME +STATE +CREATED \(UTC\)\n/);
    expect(stdout).toMatch(/^[\da-f-]{36} +Ada@example\.org +ada +Ada Lovelace +disabled +\d{4}-/m);
  });

  it('pages through more accounts than one page holds', async () => {
    await cli.database.db.query(
      `insert into accounts (id, sub, email, email_normalised, created_at, updated_at)
       select gen_random_uuid(), 's' || n, n || '@many.example', n || '@many.example', now(), now()
         from generate_series(1, 1201) n`,
    );
    const listed = (await cli.run(['users', 'list', '--query', '@many.example', '--json'])).lines();
    expect(new Set(listed.map(({ email }) => email)).size).toBe(1201);
    expect(
      (await cli.run(['users', 'list', '--query', '@many', '--limit', '501', '--json'])).lines(),
    ).toHaveLength(501);
  });
});
