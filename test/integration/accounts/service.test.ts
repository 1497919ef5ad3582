import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { AccountService } from '../../../src/accounts/account.ts';
import { createInlineHasher } from '../../../src/accounts/hashing/inline.ts';
import { createHashingPool } from '../../../src/accounts/hashing/pool.ts';
import { createAccountService } from '../../../src/accounts/service.ts';
import { AppError } from '../../../src/platform/errors.ts';
import { createTestClock } from '../../support/clock.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { buildAccount, CHEAP_PARAMETERS, TEST_OPERATOR } from '../../support/factories/account.ts';

const LONGEST_TOKEN_SECONDS = 3600;
const password = { parameters: CHEAP_PARAMETERS, minLength: 12 };

let database: TestDatabase;
let accounts: AccountService;
const clock = createTestClock(new Date('2026-03-01T12:00:00.123Z'));

beforeAll(async () => {
  database = await createTestDatabase();
  accounts = createAccountService({
    db: database.db,
    hasher: createInlineHasher(),
    password,
    longestTokenSeconds: LONGEST_TOKEN_SECONDS,
    clock,
  });
});
afterAll(() => database.drop());

async function eventsOf(accountId: string): Promise<{ type: string; actor_id: string; payload: object }[]> {
  const { rows } = await database.db.query<{ type: string; actor_id: string; payload: object }>(
    'select type, actor_id, payload from audit_events where account_id = $1 order by at, id',
    [accountId],
  );
  return rows;
}

async function revocationsOf(sub: string): Promise<object[]> {
  const { rows } = await database.db.query<object>(
    'select kind, before, expires_at, reason from revocations where subject = $1 order by id',
    [sub],
  );
  return rows;
}

const endedNow = (reason: string): object => ({
  kind: 'account',
  before: clock.now(),
  expires_at: new Date(clock.now().getTime() + LONGEST_TOKEN_SECONDS * 1000),
  reason,
});

describe('making an account', () => {
  it('keeps what was given, makes an opaque sub, and is recorded', async () => {
    const account = await accounts.create(
      { email: 'Ärger@Example.org', username: 'Ärger', name: ' Ada ', emailVerified: true },
      TEST_OPERATOR,
    );
    expect(account).toEqual({
      id: expect.stringMatching(/^[\da-f-]{36}$/),
      sub: expect.stringMatching(/^[\w-]{22}$/),
      email: 'Ärger@Example.org',
      emailVerified: true,
      username: 'Ärger',
      name: 'Ada',
      hasPassword: false,
      createdAt: clock.now(),
      updatedAt: clock.now(),
    });
    expect(await accounts.get(account.id)).toEqual(account);
    expect(await accounts.findBySub(account.sub)).toEqual(account);
    expect(await eventsOf(account.id)).toEqual([
      { type: 'account.created', actor_id: 'tester', payload: { email_verified: true, sub: account.sub } },
    ]);
  });

  it('is undone when it cannot be recorded', async () => {
    await database.db.query('alter table audit_events rename to audit_events_away');
    try {
      await expect(accounts.create({ email: 'undone@example.org' }, TEST_OPERATOR)).rejects.toThrow(
        'audit_events',
      );
    } finally {
      await database.db.query('alter table audit_events_away rename to audit_events');
    }
    expect(await accounts.findByLogin('undone@example.org')).toBeUndefined();
  });

  it('takes over a subject identifier', async () => {
    const account = await buildAccount({ db: database.db, sub: 'auth0|507f1f77bcf86cd799439011' });
    expect(account.sub).toBe('auth0|507f1f77bcf86cd799439011');
    expect(await eventsOf(account.id)).toEqual([
      expect.objectContaining({ payload: expect.objectContaining({ imported: true }) }),
    ]);
  });

  it.each([
    ['the same e-mail address in other letters', { email: 'TAKEN@STRASSE.EXAMPLE' }, 'email_taken'],
    [
      'the same user name in other letters',
      { email: 'b@example.org', username: 'ＴＡＫＥＮ' },
      'username_taken',
    ],
    ['the same subject identifier', { email: 'c@example.org', sub: 'taken' }, 'sub_taken'],
  ])('refuses %s', async (_case, input, code) => {
    await accounts
      .create({ email: 'taken@straße.example', username: 'taken', sub: 'taken' }, TEST_OPERATOR)
      .catch((error: AppError) => expect(error.code).toMatch(/_taken$/));
    await expect(accounts.create(input, TEST_OPERATOR)).rejects.toMatchObject({ code, status: 409 });
  });

  it.each([
    ['an e-mail address', { email: 'nobody' }, 'email_invalid'],
    ['a user name', { email: 'd@example.org', username: 'x@y.z' }, 'username_invalid'],
    ['a subject identifier', { email: 'd@example.org', sub: 'ä' }, 'sub_invalid'],
    ['a name', { email: 'd@example.org', name: 'x\u0000' }, 'name_invalid'],
    ['a password', { email: 'd@example.org', password: 'short' }, 'password_too_short'],
    [
      'its own address as password',
      { email: 'daniel.duesentrieb@example.org', password: 'Daniel.Duesentrieb' },
      'password_common',
    ],
  ])('refuses %s that is not one', async (_case, input, code) => {
    await expect(accounts.create(input, TEST_OPERATOR)).rejects.toMatchObject({ code, status: 422 });
  });

  it('lets one of many at once have an address', async () => {
    const results = await Promise.allSettled(
      Array.from({ length: 10 }, (_, i) =>
        accounts.create({ email: i % 2 === 0 ? 'RACE@example.org' : 'race@EXAMPLE.org' }, TEST_OPERATOR),
      ),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('says so where no hashing process is free', async () => {
    const pool = createHashingPool({ workers: 1, queueLength: 0 });
    const service = createAccountService({
      db: database.db,
      hasher: pool,
      password,
      longestTokenSeconds: LONGEST_TOKEN_SECONDS,
    });
    expect(pool.reserve().kind).toBe('ok');
    await expect(
      service.create({ email: 'busy@example.org', password: 'quiet harbour 9' }, TEST_OPERATOR),
    ).rejects.toMatchObject({ code: 'hashing_busy', status: 503, retryAfterSeconds: expect.any(Number) });
    await pool.close();
  });
});

describe('finding accounts', () => {
  it.each(['Grace@Example.org', 'GRACE@EXAMPLE.ORG', ' grace@example.org ', 'Hopper', 'ＨＯＰＰＥＲ'])(
    'knows her as %j',
    async (typed) => {
      const known = await accounts.findByLogin('grace@example.org');
      const grace =
        known ?? (await accounts.create({ email: 'grace@example.org', username: 'hopper' }, TEST_OPERATOR));
      expect((await accounts.findByLogin(typed))?.id).toBe(grace.id);
    },
  );

  it.each(['', 'nobody@example.org', '%', "' or true --", '\u0000', 'x'.repeat(10_000)])(
    'finds nobody as %j',
    async (typed) => {
      expect(await accounts.findByLogin(typed)).toBeUndefined();
    },
  );

  it.each(['nonsense', '', '0190a1b2-0000-7000-8000-000000000000'])('has no account %j', async (id) => {
    expect(await accounts.findById(id)).toBeUndefined();
    await expect(accounts.get(id)).rejects.toMatchObject({ code: 'account_not_found', status: 404 });
  });

  it('lists them in pages, oldest first, and by a part of their names', async () => {
    const made = [];
    for (const name of ['Zoë 100%', 'zoË_b', 'Zoe c']) {
      made.push(await buildAccount({ db: database.db, name, email: `page-${made.length}@list.example` }));
    }
    const first = await accounts.list({ query: '@LIST.example', limit: 2 });
    const rest = await accounts.list({ query: '@LIST.example', limit: 2, after: first.at(-1)!.id });
    expect([...first, ...rest].map(({ id }) => id)).toEqual(made.map(({ id }) => id));
    expect(await accounts.list({ query: '100%' })).toEqual([expect.objectContaining({ name: 'Zoë 100%' })]);
    expect(await accounts.list({ query: '%_%' })).toEqual([]);
  });
});

describe('disabling an account', () => {
  it('ends everything issued so far, in the same transaction as its record', async () => {
    const account = await buildAccount({ db: database.db });
    const disabled = await accounts.disable(account.id, TEST_OPERATOR);
    expect(disabled.disabledAt).toEqual(clock.now());
    expect(await revocationsOf(account.sub)).toEqual([endedNow('account_disabled')]);
    expect((await eventsOf(account.id)).map(({ type }) => type)).toContain('account.disabled');
  });

  it('does nothing the second time, and is lifted by enabling', async () => {
    const account = await buildAccount({ db: database.db });
    await accounts.disable(account.id, TEST_OPERATOR);
    await accounts.disable(account.id, TEST_OPERATOR);
    expect(await revocationsOf(account.sub)).toHaveLength(1);
    const enabled = await accounts.enable(account.id, TEST_OPERATOR);
    await accounts.enable(account.id, TEST_OPERATOR);
    expect(enabled.disabledAt).toBeUndefined();
    expect(new Set((await eventsOf(account.id)).map(({ type }) => type))).toEqual(
      new Set(['account.created', 'account.disabled', 'account.enabled']),
    );
    expect((await eventsOf(account.id)).filter(({ type }) => type === 'account.enabled')).toHaveLength(1);
  });

  it('changes nothing where a rule forbids it, unless the operator insists', async () => {
    const account = await buildAccount({ db: database.db });
    const guarded = createAccountService({
      db: database.db,
      hasher: createInlineHasher(),
      password,
      longestTokenSeconds: LONGEST_TOKEN_SECONDS,
      beforeDisable: async () => {
        throw new AppError('last_administrator', 409, 'no');
      },
    });
    await expect(guarded.disable(account.id, TEST_OPERATOR)).rejects.toMatchObject({
      code: 'last_administrator',
    });
    expect((await accounts.get(account.id)).disabledAt).toBeUndefined();
    expect(await revocationsOf(account.sub)).toEqual([]);
    expect((await guarded.disable(account.id, TEST_OPERATOR, { force: true })).disabledAt).toBeDefined();
  });

  it('is refused for nobody', async () => {
    for (const change of [accounts.disable, accounts.enable]) {
      await expect(change('nobody', TEST_OPERATOR)).rejects.toMatchObject({ code: 'account_not_found' });
    }
  });
});

describe('setting a password', () => {
  it('ends everything issued so far, in the same transaction as its record', async () => {
    const account = await accounts.create({ email: 'set@example.org' }, TEST_OPERATOR);
    const changed = await accounts.setPassword(account.id, 'nine quiet herons', TEST_OPERATOR);
    expect(changed.hasPassword).toBe(true);
    expect(await revocationsOf(account.sub)).toEqual([endedNow('password_set')]);
    expect((await eventsOf(account.id)).map(({ type }) => type)).toContain('account.password_set');
  });

  it('keeps the old one where the new one is refused', async () => {
    const account = await buildAccount({ db: database.db });
    await expect(accounts.setPassword(account.id, 'password1234', TEST_OPERATOR)).rejects.toMatchObject({
      code: 'password_common',
    });
    expect(await revocationsOf(account.sub)).toEqual([]);
  });

  it('never stores it readable, nor in the record', async () => {
    const secret = 'seven brass lanterns';
    const account = await buildAccount({ db: database.db, password: secret });
    const { rows } = await database.db.query<{ all: string }>(
      `select (select row_to_json(a)::text from accounts a where id = $1)
              || (select json_agg(e)::text from audit_events e where account_id = $1) as all`,
      [account.id],
    );
    expect(rows[0]!.all).toContain('$argon2id$v=19$m=64,t=1,p=1$');
    expect(rows[0]!.all).not.toContain(secret);
  });
});
