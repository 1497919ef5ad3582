import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';

import { createInlineHasher } from '../../../src/accounts/hashing/inline.ts';
import { importData } from '../../../src/cli/data/import.ts';
import { readLines } from '../../../src/cli/data/lines.ts';
import { columnsOf, PORTABLE_TABLES, TABLES_LEFT_BEHIND } from '../../../src/cli/data/tables.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import type { Database } from '../../../src/platform/database.ts';
import { createLogger } from '../../../src/platform/logger.ts';
import { createSealer, sealingKeyFrom } from '../../../src/platform/seal.ts';
import { openState } from '../../../src/state.ts';
import { createSubjects } from '../../../src/subjects.ts';
import { CLI_SECRET_KEY, createTestCli, type TestCli } from '../../support/cli.ts';

// Several processes to a test, on machines that may be busy.
jest.setTimeout(120_000);

const FURNISHED = (
  'accounts totp recovery_keys recovery_codes roles account_roles clients client_secrets signing_keys cookie_keys ' +
  'consents spent revocations versions logout_cursor'
).split(' ');
const BY = { kind: 'system', name: 'test' } as const;

let source: TestCli;
let target: TestCli;
let file: string;
beforeAll(async () => {
  [source, target] = await Promise.all([createTestCli(), createTestCli()]);
  await furnish(source);
  file = path.join(source.env['GATEHOUSE_DATA_DIR']!, 'everything.jsonl');
  const { code, json } = await source.run(['data', 'export', file, '--json']);
  if (code !== 0) throw new Error('the export failed');
  expect(json()).toMatchObject({ file, rows: expect.any(Number) });
});
afterAll(() => Promise.all([source.stop(), target.stop()]));

/** Something in every table that is carried, with values that lose something on a careless way. */
async function furnish(cli: TestCli): Promise<void> {
  const loaded = loadConfig({ env: cli.env, configDirectory: 'config' });
  if (loaded.kind !== 'ok') throw new Error(JSON.stringify(loaded.problems));
  const { config } = loaded;
  const logger = createLogger({ level: 'warn', format: 'json' });
  const state = await openState({ config, logger, isCommand: true });
  const subjects = createSubjects({ config, logger, state, hasher: createInlineHasher() });
  const { db } = state;
  await subjects.keys.ensureKeys();
  const account = await subjects.accounts.create(
    { email: 'Ärger@example.org', name: 'A\u2028B 🗝 "\\', password: 'correct-battery-7' },
    BY,
  );
  await subjects.factors.beginTotpEnrolment(account.id);
  await db.query('update totp set confirmed_at = now(), last_step = 9007199254740993');
  await subjects.factors.regenerateRecoveryCodes(account.id, BY);
  await subjects.rbac.createRole({ name: 'editor' }, BY);
  await subjects.rbac.grantRole(account.id, 'editor', BY);
  const { client } = await subjects.clients.create(
    {
      name: 'Wiki',
      redirectUris: ['https://a.example/cb?x=1,2', 'https://b.example/"{}'.replace('"{}', 'cb')],
    },
    BY,
  );
  await db.query('insert into consents values ($1, $2, $3, now())', [
    account.id,
    client.clientId,
    ['openid', 'a b'],
  ]);
  await subjects.accounts.disable(account.id, BY);
  await subjects.audit.write({
    requestId: 'r',
    events: [
      { type: 'consent.granted', outcome: 'success', accountId: account.id, payload: { scope: 'openid' } },
    ],
    spent: [{ kind: 'code', digest: 'spent-digest', expiresAt: new Date(Date.now() + 3_600_000) }],
    revocations: [],
    requireLive: [],
  });
  // An event of a month that no partition was made for.
  await db.query(
    `insert into audit_events (id, at, type, outcome, payload)
     values (gen_random_uuid(), '2019-02-03T04:05:06.789012Z', 'server.started', 'success', '{"n": 12345678901234567890}')`,
  );
  await subjects.audit.close();
  await state.close();
}

/** As `data import` does, without the process around it. */
async function importText(text: string): Promise<unknown> {
  const stream = (async function* () {
    yield Buffer.from(text);
  })();
  return importData({
    db: target.database.db,
    sealer: createSealer([sealingKeyFrom(CLI_SECRET_KEY)]),
    clock: systemClock,
    by: BY,
    lines: readLines(stream),
    mayBeBroken: false,
    signal: new AbortController().signal,
  });
}

async function contentOf(db: Database, name: string): Promise<string[]> {
  const table = PORTABLE_TABLES.find((portable) => portable.name === name)!;
  const columns = (await columnsOf(db, table)).join(', ');
  const { rows } = await db.query<{ line: string }>(
    `select t::text as line from (select ${columns} from ${name} order by ${table.orderBy}) t`,
  );
  return rows.map(({ line }) => line);
}

it('knows every table that the migrations make', async () => {
  const { rows } = await source.database.db.query<{ name: string }>(
    `select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition order by 1`,
  );
  const known = [...PORTABLE_TABLES.map(({ name }) => name), ...TABLES_LEFT_BEHIND].sort();
  expect(rows.map(({ name }) => name).sort()).toEqual(known);
});

it('carries tables after those that they refer to', async () => {
  const { rows } = await source.database.db.query<{ child: string; parent: string }>(
    `select conrelid::regclass::text as child, confrelid::regclass::text as parent
       from pg_constraint where contype = 'f'`,
  );
  const order = PORTABLE_TABLES.map(({ name }) => name);
  const carried = rows.filter(({ child }) => order.includes(child));
  expect(carried.length).toBeGreaterThan(4);
  expect(carried.filter(({ child, parent }) => order.indexOf(parent) >= order.indexOf(child))).toEqual([]);
});

describe('an export', () => {
  it('is for its owner alone, and holds neither a private key nor a second factor in the clear', async () => {
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const text = await readFile(file, 'utf8');
    expect(text).toMatch(/"private_jwk_sealed": "v1\./);
    expect(text).not.toMatch(/"d": ?"/);
    const header = JSON.parse(text.split('\n')[0]!) as Record<string, unknown>;
    expect(header).toMatchObject({
      gatehouse_export: 1,
      migrations: expect.arrayContaining(['0001_audit.sql']),
      sealing_key_id: expect.any(String),
    });
    expect(header['sealing_key_ids']).toEqual([header['sealing_key_id']]);
  });

  it('overwrites nothing', async () => {
    const before = await readFile(file);
    const { code, error } = await source.run(['data', 'export', file, '--json']);
    expect([code, error().error]).toEqual([1, 'file_exists']);
    expect(await readFile(file)).toEqual(before);
  });

  it('is on record', async () => {
    const { lines } = await source.run(['audit', 'list', '--type', 'data.exported', '--json']);
    expect(lines()[0]).toMatchObject({ type: 'data.exported', actor: { kind: 'operator' } });
  });
});

describe('an import is refused, and leaves nothing,', () => {
  const refusals: [string, (text: string) => string, string][] = [
    ['where the file was cut off', (text) => text.slice(0, -200), 'invalid_export'],
    ['where its end is missing', (text) => text.replace(/\{"end".*\n$/, ''), 'invalid_export'],
    ['where it goes on after its end', (text) => `${text}{}\n`, 'invalid_export'],
    ['where it is something else', () => 'hello\n', 'invalid_export'],
    ['where it is empty', () => '', 'invalid_export'],
    [
      'where a row is missing',
      (text) => text.replace(/\n\{[^\n]*"name": "editor"[^\n]*/, ''),
      'invalid_export',
    ],
    [
      'where a value is of another type',
      (text) => text.replace('"requires_mfa": false', '"requires_mfa": 7'),
      'invalid_export',
    ],
    ['where it came from another release', (text) => text.replace('"0001_audit.sql",', ''), 'other_release'],
    [
      'where its format is newer',
      (text) => text.replace('"gatehouse_export":1', '"gatehouse_export":2'),
      'invalid_export',
    ],
    [
      'where an audited event was altered',
      (text) => text.replace('"scope": "openid"', '"scope": "admin"'),
      'chain_broken',
    ],
  ];

  it.each(refusals)('%s', async (_, alter, error) => {
    const text = await readFile(file, 'utf8');
    const altered = alter(text);
    expect(altered).not.toBe(text);
    await expect(importText(altered)).rejects.toMatchObject({ code: error });
    expect(await contentOf(target.database.db, 'accounts')).toEqual([]);
    expect(await contentOf(target.database.db, 'audit_events')).toEqual([]);
    expect(await contentOf(target.database.db, 'roles')).toHaveLength(1);
  });

  it('with one line on standard error', async () => {
    const input = (await readFile(file, 'utf8')).replace(/\{"end".*\n$/, '');
    const { code, stdout, stderr } = await target.run(['data', 'import', '-'], { input });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^gatehouse: This is not a whole export .*cut off\. Nothing was imported\.\n$/);
  });

  it('where another secret key is configured', async () => {
    const env = { GATEHOUSE_SECRET_KEY: 'not-the-key-that-sealed-it-0123456789abcdef' };
    const outcome = await target.run(['data', 'import', file, '--json'], { env });
    expect([outcome.code, outcome.error()]).toEqual([
      1,
      { error: 'other_secret_key', error_description: expect.stringContaining('GATEHOUSE_SECRET_KEY') },
    ]);
    expect(await contentOf(target.database.db, 'accounts')).toEqual([]);
  });
});

describe('an import', () => {
  it('brings every row as it was, and an audit chain that is whole', async () => {
    const { code, stderr, json } = await target.run(['data', 'import', file, '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(json()).toEqual({ rows: expect.any(Number), chain_whole: true });
    for (const { name } of PORTABLE_TABLES) {
      const [theirs, ours] = await Promise.all([
        contentOf(source.database.db, name),
        contentOf(target.database.db, name),
      ]);
      if (name.startsWith('audit_')) continue;
      expect([name, ours]).toEqual([name, theirs]);
      expect([name, ours.length > 0]).toEqual([name, FURNISHED.includes(name)]);
    }
    const whole = (await target.run(['audit', 'verify', '--json'])).json<{
      rows: number;
      unlinked: number;
    }>();
    expect(whole).toMatchObject({ ok: true, unlinked: 0 });
    const events = (await target.run(['audit', 'export'])).lines<{ type: string; seq: number }>();
    expect(events.map(({ type }) => type)).toEqual(
      expect.arrayContaining(['account.created', 'client.created', 'data.exported', 'data.imported']),
    );
    expect(events[0]).toMatchObject({ type: 'server.started', at: '2019-02-03T04:05:06.789012Z' });
  });

  it('keeps the rows of the log where they were in the chain, in partitions of their months', async () => {
    const chained = async ({ database: { db } }: TestCli): Promise<object[]> =>
      (
        await db.query<{ id: string }>(
          `select id, seq, hash from audit_events
            where seq is not null and type not in ('data.exported', 'data.imported', 'audit.verified') order by id`,
        )
      ).rows;
    const ours = await chained(target);
    const theirs = await chained(source);
    const chainedThen = theirs.filter((row) =>
      ours.some((other) => JSON.stringify(other) === JSON.stringify(row)),
    );
    expect(chainedThen.length).toBeGreaterThanOrEqual(5);
    const { rows } = await target.database.db.query<{ partition: string }>(
      `select tableoid::regclass::text as partition from audit_events where at < '2020-01-01'`,
    );
    expect(rows).toEqual([{ partition: 'audit_events_2019_02' }]);
  });

  it('can be used: the same secrets open, the same people are there', async () => {
    const shown = (await target.run(['users', 'show', 'ÄRGER@example.org', '--json'])).json();
    expect(shown).toMatchObject({ name: 'A\u2028B 🗝 "\\', totp: true, roles: ['editor'] });
    const same = await target.run(['keys', 'reseal', '--json']);
    expect(same.json()).toMatchObject({ keys: 0, account_secrets: 0 });
    const { rows } = await target.database.db.query<{ step: string }>(
      'select last_step::text as step from totp',
    );
    expect(rows).toEqual([{ step: '9007199254740993' }]);
  });

  it('is refused where anything is there already', async () => {
    const { code, error } = await target.run(['data', 'import', file, '--json']);
    expect([code, error()]).toEqual([
      1,
      { error: 'not_empty', error_description: expect.stringContaining('before the first start') },
    ]);
  });
});

it('takes a broken chain as it is where the operator insists', async () => {
  const other = await createTestCli();
  try {
    const altered = (await readFile(file, 'utf8')).replace('"scope": "openid"', '"scope": "admin"');
    const { code, json } = await other.run(['data', 'import', '-', '--accept-broken-chain', '--json'], {
      input: altered,
    });
    expect(code).toBe(0);
    expect(json()).toMatchObject({ chain_whole: false });
    expect((await other.run(['audit', 'verify', '--json'])).json()).toMatchObject({
      ok: false,
      problem: { kind: 'altered' },
    });
  } finally {
    await other.stop();
  }
});
