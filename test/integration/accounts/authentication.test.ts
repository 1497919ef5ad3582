import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  createAuthenticationService,
  type AuthenticationService,
  type PasswordAttempt,
} from '../../../src/accounts/authentication.ts';
import type { Hasher, HashParameters } from '../../../src/accounts/hashing/hasher.ts';
import { createHashingPool } from '../../../src/accounts/hashing/pool.ts';
import { createAccountService } from '../../../src/accounts/service.ts';
import { createSignInThrottle } from '../../../src/accounts/sign-in-throttle.ts';
import { createAuditLog, type AuditLog } from '../../../src/audit/log.ts';
import { runInUnitOfWork } from '../../../src/audit/unit-of-work.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import type { Database, Queryable } from '../../../src/platform/database.ts';
import { randomToken } from '../../../src/platform/ids.ts';
import { createRateLimiter, type GrowingDelay } from '../../../src/platform/rate-limit.ts';
import { createRedis } from '../../../src/platform/redis.ts';
import { createSealer } from '../../../src/platform/seal.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { buildAccount, CHEAP_PARAMETERS, TEST_OPERATOR } from '../../support/factories/account.ts';
import { startWhile } from '../../support/locks.ts';
import { createTestRedis } from '../../support/redis.ts';

const OTHER_PARAMETERS: HashParameters = { memoryKib: 128, iterations: 2, parallelism: 1 };
const GROWTH: GrowingDelay = {
  freeAttempts: 4,
  // Long enough that it does not pass while a busy machine is still about the hash before.
  baseDelaySeconds: 3,
  maxDelaySeconds: 900,
  windowSeconds: 3600,
};

let database: TestDatabase;
let redis: Awaited<ReturnType<typeof createTestRedis>>;
let pool: Hasher;
let audit: AuditLog;
const sealer = createSealer([{ id: 'k1', key: randomBytes(32) }]);

beforeAll(async () => {
  database = await createTestDatabase();
  redis = await createTestRedis();
  pool = createHashingPool({ workers: 1, queueLength: 200 });
  audit = createAuditLog({ db: database.db, clock: systemClock, fingerprintKey: randomBytes(32) });
});
afterAll(async () => {
  await audit.close();
  await pool.close();
  await redis.close();
  await database.drop();
});

interface Attempts extends AuthenticationService {
  /** Signs in from an address of its own, unless one is given, and records what happened. */
  attempt: (
    attempt: Partial<PasswordAttempt>,
  ) => Promise<Awaited<ReturnType<AuthenticationService['verifyPassword']>>>;
}

/** A service with counters of its own. */
function open({
  hasher = pool,
  parameters = CHEAP_PARAMETERS,
  growth = {},
  redis: connection = redis.redis,
  db = database.db,
}: {
  db?: Database;
  hasher?: Hasher;
  parameters?: HashParameters;
  growth?: {
    account?: Partial<GrowingDelay>;
    device?: Partial<GrowingDelay>;
    address?: Partial<GrowingDelay>;
  };
  redis?: typeof redis.redis;
} = {}): Attempts {
  const limiter = (name: 'account' | 'device' | 'address'): ReturnType<typeof createRateLimiter> =>
    createRateLimiter({
      redis: connection,
      db: database.db,
      keyPrefix: `${redis.keyPrefix}:${randomToken(6)}`,
      name,
      ...GROWTH,
      ...growth[name],
    });
  const service = createAuthenticationService({
    db,
    hasher,
    parameters,
    throttle: createSignInThrottle({
      sealer,
      limiters: { account: limiter('account'), device: limiter('device'), address: limiter('address') },
    }),
    onError: (error) => {
      throw error;
    },
  });
  return {
    ...service,
    attempt: (attempt) =>
      runInUnitOfWork(audit, async (unit) => {
        const result = await service.verifyPassword({
          identifier: 'nobody@example.org',
          password: 'not the password',
          address: someAddress(),
          ...attempt,
        });
        await unit.commit();
        return result;
      }),
  };
}

let addresses = 0;
function someAddress(): string {
  addresses += 1;
  return `198.51.${Math.floor(addresses / 250)}.${(addresses % 250) + 1}`;
}

async function lastEvent(): Promise<{ type: string; account_id: string | null; payload: object }> {
  const { rows } = await database.db.query<{ type: string; account_id: string | null; payload: object }>(
    `select type, account_id, payload from audit_events where type like 'sign_in.%' order by seq desc limit 1`,
  );
  return rows[0]!;
}

describe('signing in by password', () => {
  it.each([
    ['the e-mail address', (mail: string, _name: string) => mail],
    ['the e-mail address in other letters', (mail: string, _name: string) => ` ${mail.toUpperCase()} `],
    ['the user name', (_mail: string, name: string) => name],
    ['the user name in other letters', (_mail: string, name: string) => name.toUpperCase()],
  ])('works with %s', async (_case, choose) => {
    const username = `straße-${randomToken(4).toLowerCase()}`;
    const { password, ...account } = await buildAccount({ db: database.db, username });
    const result = await open().attempt({ identifier: choose(account.email, username), password });
    expect(result).toEqual({ kind: 'ok', account, deviceId: expect.any(String) });
    expect(await lastEvent()).toEqual({
      type: 'sign_in.succeeded',
      account_id: account.id,
      payload: { method: 'password', known_device: false },
    });
  });

  it('takes the password in another form of the same letters', async () => {
    const account = await buildAccount({ db: database.db, password: 'café noir à Lyon' });
    const typed = 'cafe\u0301 noir a\u0300\u00A0Lyon';
    expect((await open().attempt({ identifier: account.email, password: typed })).kind).toBe('ok');
  });

  it.each([
    ['unknown_account', async () => ({ identifier: 'nobody@example.org', password: 'correct-battery-7' })],
    [
      'wrong_password',
      async () => ({ identifier: (await buildAccount({ db: database.db })).email, password: 'wrong' }),
    ],
    [
      'account_disabled',
      async () => {
        const account = await buildAccount({ db: database.db });
        await disable(account.id);
        return { identifier: account.email, password: account.password };
      },
    ],
    [
      'no_password',
      async () => ({ identifier: await accountWithoutPassword(), password: 'correct-battery-7' }),
    ],
    [
      'wrong_password',
      async () => {
        const account = await buildAccount({
          db: database.db,
          password: `y${'x'.repeat(255)}`,
        });
        return { identifier: account.email, password: `${account.password}a` };
      },
    ],
    ['unknown_account', async () => ({ identifier: '', password: '' })],
    ['unknown_account', async () => ({ identifier: '\u0000', password: '\u0000' })],
    ['unknown_account', async () => ({ identifier: 'x'.repeat(100_000), password: 'y'.repeat(100_000) })],
  ])('is refused in one and the same way: %s', async (reason, prepare) => {
    const attempt = await prepare();
    expect(await open().attempt(attempt)).toEqual({ kind: 'refused' });
    const event = await lastEvent();
    expect(event).toMatchObject({ type: 'sign_in.failed', payload: { method: 'password', reason } });
    expect(event.account_id === null).toBe(reason === 'unknown_account');
  });

  it('records nothing of a name that no account has', async () => {
    const typed = `hunter2-${randomToken(9)}`;
    await open().attempt({ identifier: typed, password: typed });
    const { rows } = await database.db.query<{ line: string }>('select e::text as line from audit_events e');
    expect(rows.some(({ line }) => line.includes(typed))).toBe(false);
    const keys = await redis.redis.keys(`${redis.keyPrefix}*`);
    expect(keys.length).toBeGreaterThan(0);
    expect(keys.some((key) => key.includes('hunter2'))).toBe(false);
  });

  it('hashes again when the parameters have changed, once, and is recorded', async () => {
    const account = await buildAccount({ db: database.db, parameters: OTHER_PARAMETERS });
    const service = open();
    const sign = { identifier: account.email, password: account.password };
    expect((await service.attempt(sign)).kind).toBe('ok');
    const first = await hashOf(account.id);
    expect(first).toContain('$m=64,t=1,p=1$');
    expect((await service.attempt(sign)).kind).toBe('ok');
    expect(await hashOf(account.id)).toBe(first);
    const { rows } = await database.db.query(
      `select payload from audit_events where account_id = $1 and type = 'account.password_set'`,
      [account.id],
    );
    expect(rows).toEqual([{ payload: { rehashed: true } }]);
  });
});

describe('an account that is changed while its password is being compared', () => {
  const FRESH_HASH = 'update accounts set password_hash = $2 where id = $1';

  async function attemptWhile(change: (tx: Queryable, account: Changed) => Promise<unknown>) {
    const account = await buildAccount({ db: database.db });
    return startWhile(
      database.db,
      (tx) => change(tx, account),
      () => open().attempt({ identifier: account.email, password: account.password }),
    );
  }
  type Changed = Awaited<ReturnType<typeof buildAccount>>;

  it('lets nobody in by the password of before', async () => {
    const other = await buildAccount({ db: database.db, password: 'nine quiet herons' });
    const outcome = await attemptWhile(async (tx, { id }) =>
      tx.query(FRESH_HASH, [id, await hashOf(other.id)]),
    );
    expect(outcome).toMatchObject({ status: 'fulfilled', value: { kind: 'refused' } });
    expect(await lastEvent()).toMatchObject({
      type: 'sign_in.failed',
      payload: { reason: 'wrong_password' },
    });
  });

  it('lets nobody in once it is disabled', async () => {
    const outcome = await attemptWhile(async (tx, { id }) =>
      tx.query('update accounts set disabled_at = now() where id = $1', [id]),
    );
    expect(outcome).toMatchObject({ status: 'fulfilled', value: { kind: 'refused' } });
    expect(await lastEvent()).toMatchObject({
      type: 'sign_in.failed',
      payload: { reason: 'account_disabled' },
    });
  });

  it('lets in by a password that was only hashed anew', async () => {
    const same = await buildAccount({ db: database.db });
    const outcome = await attemptWhile(async (tx, { id }) =>
      tx.query(FRESH_HASH, [id, await hashOf(same.id)]),
    );
    expect(outcome).toMatchObject({ status: 'fulfilled', value: { kind: 'ok' } });
  });
});

describe('what an attempt tells of the account', () => {
  /** One account of each kind, and an attempt that is refused for each reason. */
  async function kinds(): Promise<Record<string, Partial<PasswordAttempt>>> {
    const plain = await buildAccount({ db: database.db });
    const disabled = await buildAccount({ db: database.db });
    const old = await buildAccount({ db: database.db, parameters: OTHER_PARAMETERS });
    await disable(disabled.id);
    return {
      unknown: { identifier: 'nobody@example.org', password: 'correct-battery-7' },
      wrong: { identifier: plain.email, password: 'wrong-battery-7' },
      disabled: { identifier: disabled.email, password: disabled.password },
      'other parameters': { identifier: old.email, password: 'wrong-battery-7' },
      'no password': { identifier: await accountWithoutPassword(), password: 'correct-battery-7' },
      'too long': { identifier: plain.email, password: 'z'.repeat(300) },
    };
  }

  it('is not the hashing work: each costs one comparison for every set of parameters in use', async () => {
    const attempts = await kinds();
    const work: Record<string, string[]> = {};
    let current: string[] = [];
    const service = open({ hasher: watchWork(pool, (costs) => current.push(...costs)) });
    for (const [kind, attempt] of Object.entries(attempts)) {
      current = [];
      expect((await service.attempt(attempt)).kind).toBe('refused');
      work[kind] = current;
    }
    for (const costs of Object.values(work)) expect(costs).toEqual(['m=128,t=2,p=1', 'm=64,t=1,p=1']);
  });

  it('is not the number of queries', async () => {
    const attempts = await kinds();
    const queries: string[] = [];
    const service = open({ db: watchQueries(queries) });
    await service.attempt({});
    const asked = new Set<string>();
    for (const attempt of Object.values(attempts)) {
      queries.length = 0;
      await service.verifyPassword({ address: someAddress(), ...attempt } as PasswordAttempt);
      asked.add(queries.join('; '));
    }
    expect([...asked]).toEqual([expect.stringMatching(/^select [^;]+ from accounts where [^;]+$/)]);
  });

  it('is not the time', async () => {
    const attempts = await kinds();
    // Dear enough that one comparison more or less would show far above the noise.
    const parameters = { memoryKib: 8192, iterations: 2, parallelism: 1 };
    const dear = await buildAccount({ db: database.db, parameters: { ...parameters, iterations: 4 } });
    attempts['dear parameters'] = { identifier: dear.email, password: 'wrong-battery-7' };
    const service = open({ parameters, growth: { account: { freeAttempts: 1000 } } });
    for (const attempt of Object.values(attempts)) await service.attempt(attempt);

    /** The lower quartile of each kind's times. */
    const measure = async (): Promise<Map<string, number>> => {
      const samples = new Map<string, number[]>(Object.keys(attempts).map((kind) => [kind, []]));
      for (let round = 0; round < 15; round += 1) {
        // Interleaved, so that what else the machine does falls on all alike.
        for (const [kind, attempt] of Object.entries(attempts)) {
          const startedAt = performance.now();
          await service.verifyPassword({ address: someAddress(), ...attempt } as PasswordAttempt);
          samples.get(kind)!.push(performance.now() - startedAt);
        }
      }
      return new Map([...samples].map(([kind, times]) => [kind, quantile(times, 0.25)]));
    };

    // What can be told apart is so each time; what a busy machine does is not.
    let different: string[] = [];
    for (let attempt = 0; attempt < 8; attempt += 1) {
      const times = await measure();
      // Without the dummies the fastest kind takes a hundredth of the slowest; the bound leaves room for noise.
      const bound = Math.min(...times.values()) * 1.6;
      different = [...times].filter(([, time]) => time >= bound).map(([kind]) => kind);
      if (different.length === 0) break;
    }
    expect(different).toEqual([]);
    // Hashes give way to whatever else runs here: on a busy machine a comparison takes ten times as long.
  }, 360_000);

  it('is not told by a full queue either: everybody is busy at once, before anything is looked up', async () => {
    const attempts = await kinds();
    const tiny = createHashingPool({ workers: 1, queueLength: 0 });
    const place = tiny.reserve();
    expect(place.kind).toBe('ok');
    const queries: string[] = [];
    const service = open({ hasher: tiny, db: watchQueries(queries) });
    const known = await buildAccount({ db: database.db });
    const all = { ...attempts, right: { identifier: known.email, password: known.password } };
    const answers = [];
    for (const attempt of Object.values(all)) {
      answers.push(await service.verifyPassword({ address: someAddress(), ...attempt }));
    }
    expect(queries).toEqual([]);
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(answers[0]).toEqual({ kind: 'busy', retryAfterSeconds: expect.any(Number) });
    await service.attempt({});
    expect(await lastEvent()).toMatchObject({ type: 'sign_in.busy' });
    if (place.kind === 'ok') place.slot.release();
    expect((await service.attempt(all.right)).kind).toBe('ok');
    await tiny.close();
  });
});

describe('guesses', () => {
  it('at one account are slowed down, whatever the address, and the right password then waits as well', async () => {
    const account = await buildAccount({ db: database.db });
    const service = open();
    for (let i = 0; i < 4; i += 1) {
      expect((await service.attempt({ identifier: account.email })).kind).toBe('refused');
    }
    const right = { identifier: account.email.toUpperCase(), password: account.password };
    const throttled = await service.attempt(right);
    if (throttled.kind !== 'throttled') throw new Error('it should have been throttled');
    // Part of the delay may have passed since it began.
    expect([3, 2]).toContain(throttled.retryAfterSeconds);
    expect(await lastEvent()).toEqual({
      type: 'sign_in.throttled',
      account_id: null,
      payload: { method: 'password', reason: 'account', retry_after_seconds: throttled.retryAfterSeconds },
    });
    await sleep(3_050);
    expect((await service.attempt(right)).kind).toBe('ok');
  });

  it('at a name that nobody has are slowed down alike', async () => {
    const service = open();
    const identifier = `${randomToken(6)}@example.org`;
    const outcomes = [];
    for (let i = 0; i < 5; i += 1) outcomes.push((await service.attempt({ identifier })).kind);
    expect(outcomes).toEqual(['refused', 'refused', 'refused', 'refused', 'throttled']);
  });

  it('at an account’s e-mail address do not slow its user name down: that would tell they belong together', async () => {
    const username = `u${randomToken(6).toLowerCase()}`;
    const account = await buildAccount({ db: database.db, username });
    const service = open();
    for (let i = 0; i < 5; i += 1) await service.attempt({ identifier: account.email });
    expect((await service.attempt({ identifier: username })).kind).toBe('refused');
  });

  it('are counted before they are judged: of 60 at once no more are judged than are free', async () => {
    const account = await buildAccount({ db: database.db });
    const service = open();
    const results = await Promise.all(
      Array.from({ length: 60 }, () => service.attempt({ identifier: account.email })),
    );
    expect(results.filter(({ kind }) => kind === 'refused')).toHaveLength(4);
    expect(results.filter(({ kind }) => kind === 'throttled')).toHaveLength(56);
  });

  it('from one network are slowed down, whatever the account', async () => {
    const service = open({ growth: { address: { freeAttempts: 3 } } });
    const outcomes = [];
    for (let i = 0; i < 4; i += 1) {
      outcomes.push(
        (await service.attempt({ identifier: `n${i}@example.org`, address: `2001:db8:0:7::${i}` })).kind,
      );
    }
    expect(outcomes).toEqual(['refused', 'refused', 'refused', 'throttled']);
    expect(await lastEvent()).toMatchObject({ payload: { reason: 'address' } });
    expect((await service.attempt({ address: '2001:db8:0:8::1' })).kind).toBe('refused');
  });

  it('are not wiped out by signing in to an account of one’s own', async () => {
    const own = await buildAccount({ db: database.db });
    const service = open({ growth: { address: { freeAttempts: 4 } } });
    const address = '203.0.113.9';
    const outcomes = [];
    for (let i = 0; i < 4; i += 1) {
      outcomes.push((await service.attempt({ identifier: `v${i}@example.org`, address })).kind);
      if (i < 3) {
        await service.attempt({ identifier: own.email, password: own.password, address });
      }
    }
    expect(outcomes).toEqual(['refused', 'refused', 'refused', 'refused']);
    expect((await service.attempt({ address })).kind).toBe('throttled');
  });

  it('of a stranger never lock out the browser that signed in before, not even from the same network', async () => {
    const account = await buildAccount({ db: database.db, username: `o${randomToken(6).toLowerCase()}` });
    const service = open({ growth: { address: { freeAttempts: 4 } } });
    const address = '203.0.113.10';
    const right = { identifier: account.email, password: account.password, address };
    const first = await service.attempt(right);
    if (first.kind !== 'ok') throw new Error('the owner could not sign in');
    const { deviceId } = first;
    for (let i = 0; i < 12; i += 1) await service.attempt({ identifier: account.email, address });
    expect((await service.attempt(right)).kind).toBe('throttled');
    expect((await service.attempt({ ...right, deviceId })).kind).toBe('ok');
    expect(await lastEvent()).toMatchObject({ payload: { known_device: true } });
    expect((await service.attempt({ ...right, identifier: account.username!, deviceId })).kind).toBe('ok');
    // Nor does the owner's success give the stranger new guesses.
    expect((await service.attempt(right)).kind).toBe('throttled');
  });

  it('from a browser that signed in before are slowed down too, until they succeed', async () => {
    const account = await buildAccount({ db: database.db });
    const service = open({ growth: { device: { freeAttempts: 2 } } });
    const right = { identifier: account.email, password: account.password };
    const first = await service.attempt(right);
    if (first.kind !== 'ok') throw new Error('the owner could not sign in');
    const { deviceId } = first;
    const guess = { identifier: account.email, deviceId };
    expect((await service.attempt(guess)).kind).toBe('refused');
    expect((await service.attempt(guess)).kind).toBe('refused');
    const throttled = await service.attempt({ ...right, deviceId });
    if (throttled.kind !== 'throttled') throw new Error('it should have been throttled');
    expect([3, 2]).toContain(throttled.retryAfterSeconds);
    expect(await lastEvent()).toMatchObject({ payload: { reason: 'device' } });
    await sleep(3_050);
    expect((await service.attempt({ ...right, deviceId })).kind).toBe('ok');
    expect((await service.attempt(guess)).kind).toBe('refused');
    expect((await service.attempt(guess)).kind).toBe('refused');
  });

  it('at another account gain nothing from the device cookie of one’s own', async () => {
    const own = await buildAccount({ db: database.db });
    const victim = await buildAccount({ db: database.db });
    const service = open();
    const first = await service.attempt({ identifier: own.email, password: own.password });
    if (first.kind !== 'ok') throw new Error('the account could not sign in');
    const outcomes = [];
    for (let i = 0; i < 5; i += 1) {
      outcomes.push((await service.attempt({ identifier: victim.email, deviceId: first.deviceId })).kind);
    }
    expect(outcomes.at(-1)).toBe('throttled');
  });

  it('are not made where nobody counts them: 503', async () => {
    const account = await buildAccount({ db: database.db });
    const gone = createRedis({ url: 'redis://127.0.0.1:1' });
    const service = open({ redis: gone });
    await expect(
      service.attempt({ identifier: account.email, password: account.password }),
    ).rejects.toMatchObject({ code: 'throttle_unavailable', status: 503, retryAfterSeconds: 2 });
    expect(pool.use().reserved).toBe(0);
    gone.disconnect();
  });
});

async function disable(id: string): Promise<void> {
  const accounts = createAccountService({
    db: database.db,
    hasher: pool,
    password: { parameters: CHEAP_PARAMETERS, minLength: 12 },
    longestTokenSeconds: 60,
  });
  await accounts.disable(id, TEST_OPERATOR);
}

async function accountWithoutPassword(): Promise<string> {
  const account = await buildAccount({ db: database.db });
  await database.db.query('update accounts set password_hash = null where id = $1', [account.id]);
  return account.email;
}

async function hashOf(id: string): Promise<string> {
  const { rows } = await database.db.query<{ password_hash: string }>(
    'select password_hash from accounts where id = $1',
    [id],
  );
  return rows[0]!.password_hash;
}

/** Tells the cost of every hash that an attempt compares with. */
function watchWork(hasher: Hasher, onCosts: (costs: string[]) => void): Hasher {
  return {
    ...hasher,
    reserve: () => {
      const place = hasher.reserve();
      if (place.kind === 'busy') return place;
      const { slot } = place;
      return {
        kind: 'ok',
        slot: {
          ...slot,
          verifyEach: (password, hashes) => {
            onCosts(hashes.map((hash) => hash.split('$')[3]!));
            return slot.verifyEach(password, hashes);
          },
        },
      };
    },
  };
}

/** Keeps what is asked of the database outside of transactions. */
function watchQueries(queries: string[]): Database {
  const { db } = database;
  return {
    ...db,
    query: (text, values) => {
      queries.push(text);
      return db.query(text, values);
    },
  };
}

function quantile(values: readonly number[], share: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length * share)]!;
}
