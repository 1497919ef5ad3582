import { randomBytes } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { generateSync } from 'otplib';

import { createFactorService, type FactorService } from '../../../src/accounts/factors.ts';
import { resealSecrets } from '../../../src/accounts/reseal.ts';
import { createAuditLog, type AuditLog } from '../../../src/audit/log.ts';
import { runInUnitOfWork } from '../../../src/audit/unit-of-work.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { randomToken } from '../../../src/platform/ids.ts';
import { createRateLimiter } from '../../../src/platform/rate-limit.ts';
import { createSealer, type Sealer, type SealingKey } from '../../../src/platform/seal.ts';
import { createTestClock } from '../../support/clock.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { buildAccount, TEST_OPERATOR } from '../../support/factories/account.ts';
import { createTestRedis } from '../../support/redis.ts';

const START = new Date('2026-03-01T12:00:00Z');
const OLD_KEY: SealingKey = { id: 'old', key: randomBytes(32) };
const NEW_KEY: SealingKey = { id: 'new', key: randomBytes(32) };

let database: TestDatabase;
let redis: Awaited<ReturnType<typeof createTestRedis>>;
let audit: AuditLog;

beforeAll(async () => {
  database = await createTestDatabase();
  redis = await createTestRedis();
  audit = createAuditLog({ db: database.db, clock: systemClock, fingerprintKey: randomBytes(32) });
});
afterAll(async () => {
  await audit.close();
  await redis.close();
  await database.drop();
});

interface Bench extends FactorService {
  clock: ReturnType<typeof createTestClock>;
  /** The code that an authenticator app shows now. */
  codeOf: (secret: string, secondsAhead?: number) => string;
  /** An account with a confirmed factor, 90 s later. */
  enrol: () => Promise<{ id: string; secret: string; recoveryCodes: string[] }>;
}

/** A service with a clock and counters of its own. */
function open({
  sealer = createSealer([OLD_KEY]),
  freeAttempts = 5,
}: { sealer?: Sealer; freeAttempts?: number } = {}): Bench {
  const clock = createTestClock(START);
  const service = createFactorService({
    db: database.db,
    sealer,
    clock,
    limiter: createRateLimiter({
      redis: redis.redis,
      db: database.db,
      keyPrefix: `${redis.keyPrefix}:${randomToken(6)}`,
      name: 'factor',
      freeAttempts,
      // Long enough that it does not pass while a busy machine is still about the attempt before.
      baseDelaySeconds: 3,
      maxDelaySeconds: 900,
      windowSeconds: 3600,
    }),
    issuerName: 'Gatehouse',
    recoveryCodes: 10,
    longestTokenSeconds: 3600,
  });
  const codeOf: Bench['codeOf'] = (secret, secondsAhead = 0) =>
    generateSync({ secret, epoch: Math.floor(clock.now().getTime() / 1000) + secondsAhead });
  return {
    ...service,
    clock,
    codeOf,
    enrol: async () => {
      const { id } = await buildAccount({ db: database.db });
      const { secret } = await service.beginTotpEnrolment(id);
      const result = await service.confirmTotp({ accountId: id, code: codeOf(secret) });
      if (result.kind !== 'ok') throw new Error(`enrolment was ${result.kind}`);
      clock.advanceSeconds(90);
      return { id, secret, recoveryCodes: result.recoveryCodes };
    },
  };
}

async function eventsOf(accountId: string, type: string): Promise<object[]> {
  const { rows } = await database.db.query<{ payload: object }>(
    'select payload from audit_events where account_id = $1 and type = $2 order by at, id',
    [accountId, type],
  );
  return rows.map(({ payload }) => payload);
}

/** A code that is not the right one. */
const wrong = (right: string): string => String((Number(right) + 1) % 1_000_000).padStart(6, '0');

describe('enrolling an authenticator app', () => {
  it('shows the same key on every reload, and counts only once a code confirmed it', async () => {
    const bench = open();
    const account = await buildAccount({ db: database.db });
    const [first, second, third] = await Promise.all([
      bench.beginTotpEnrolment(account.id),
      bench.beginTotpEnrolment(account.id),
      bench.beginTotpEnrolment(account.id),
    ]);
    expect(second).toEqual(first);
    expect(third).toEqual(first);
    expect(first.otpauthUri).toContain(`secret=${first.secret}`);
    expect(decodeURIComponent(first.otpauthUri)).toContain(`Gatehouse:${account.email}`);
    expect(await bench.hasTotp(account.id)).toBe(false);
    const code = bench.codeOf(first.secret);
    expect(await bench.verifyTotp({ accountId: account.id, code })).toEqual({ kind: 'wrong' });
    expect(await bench.confirmTotp({ accountId: account.id, code: wrong(code) })).toEqual({ kind: 'wrong' });
    expect(await bench.hasTotp(account.id)).toBe(false);
    const confirmed = await bench.confirmTotp({ accountId: account.id, code });
    expect(confirmed).toEqual({ kind: 'ok', recoveryCodes: expect.any(Array) });
    expect(await bench.hasTotp(account.id)).toBe(true);
    expect(await eventsOf(account.id, 'factor.totp_enrolled')).toEqual([{}]);
    expect(await eventsOf(account.id, 'factor.recovery_codes_generated')).toEqual([{ count: 10 }]);
  });

  it('shows another key after 20 minutes, for somebody else may have seen the first', async () => {
    const bench = open();
    const { id } = await buildAccount({ db: database.db });
    const { secret } = await bench.beginTotpEnrolment(id);
    bench.clock.advanceSeconds(20 * 60 - 1);
    expect((await bench.beginTotpEnrolment(id)).secret).toBe(secret);
    bench.clock.advanceSeconds(2);
    const { secret: fresh } = await bench.beginTotpEnrolment(id);
    expect(fresh).not.toBe(secret);
    expect(await bench.confirmTotp({ accountId: id, code: bench.codeOf(secret) })).toEqual({ kind: 'wrong' });
    expect((await bench.confirmTotp({ accountId: id, code: bench.codeOf(fresh) })).kind).toBe('ok');
  });

  it('never overwrites one that is confirmed', async () => {
    const bench = open();
    const { id, secret } = await bench.enrol();
    bench.clock.advanceSeconds(3600);
    await expect(bench.beginTotpEnrolment(id)).rejects.toMatchObject({
      code: 'totp_already_enrolled',
      status: 409,
    });
    await expect(bench.confirmTotp({ accountId: id, code: bench.codeOf(secret) })).rejects.toMatchObject({
      code: 'totp_already_enrolled',
    });
    expect((await bench.verifyTotp({ accountId: id, code: bench.codeOf(secret) })).kind).toBe('ok');
  });

  it('spends the step of the code that confirmed it', async () => {
    const bench = open();
    const { id } = await buildAccount({ db: database.db });
    const { secret } = await bench.beginTotpEnrolment(id);
    const code = bench.codeOf(secret);
    await bench.confirmTotp({ accountId: id, code });
    expect(await bench.verifyTotp({ accountId: id, code })).toEqual({ kind: 'wrong' });
  });

  it('succeeds once, however often it is confirmed at once', async () => {
    const bench = open({ freeAttempts: 100 });
    const { id } = await buildAccount({ db: database.db });
    const { secret } = await bench.beginTotpEnrolment(id);
    const code = bench.codeOf(secret);
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, () => bench.confirmTotp({ accountId: id, code })),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await bench.remainingRecoveryCodes(id)).toBe(10);
  });

  it('is refused for nobody, and where nothing was begun', async () => {
    const bench = open();
    const nobody = '0190a1b2-0000-7000-8000-000000000000';
    await expect(bench.beginTotpEnrolment(nobody)).rejects.toMatchObject({ code: 'account_not_found' });
    const { id } = await buildAccount({ db: database.db });
    await expect(bench.confirmTotp({ accountId: id, code: '123456' })).rejects.toMatchObject({
      code: 'totp_not_begun',
    });
  });

  it('keeps the key sealed for this account alone', async () => {
    const bench = open();
    const victim = await bench.enrol();
    const thief = await bench.enrol();
    const { rows } = await database.db.query<{ secret: string }>(
      'select secret from totp where account_id = $1',
      [victim.id],
    );
    expect(rows[0]!.secret).toMatch(/^v1\.old\./);
    expect(rows[0]!.secret).not.toContain(victim.secret);
    await database.db.query('update totp set secret = $2 where account_id = $1', [thief.id, rows[0]!.secret]);
    await expect(
      bench.verifyTotp({ accountId: thief.id, code: bench.codeOf(victim.secret) }),
    ).rejects.toThrow('unable to authenticate');
    await database.db.query('delete from totp where account_id = $1', [thief.id]);
  });
});

describe('signing in with a TOTP code', () => {
  it.each([
    [-60, 'wrong'],
    [-30, 'ok'],
    [0, 'ok'],
    [30, 'ok'],
    [60, 'wrong'],
  ])('a code of %d s from now is %s', async (secondsAhead, kind) => {
    const bench = open();
    const { id, secret } = await bench.enrol();
    const result = await bench.verifyTotp({ accountId: id, code: bench.codeOf(secret, secondsAhead) });
    expect(result.kind).toBe(kind);
  });

  it.each([
    '12345',
    '1234567',
    '',
    'abcdef',
    '１２３４５',
    '12 34 5',
    '1e5',
    '\u0000',
    '-123456'.repeat(1000),
  ])('does not count %j as a guess', async (code) => {
    const bench = open({ freeAttempts: 1 });
    const { id, secret } = await bench.enrol();
    for (let i = 0; i < 3; i += 1) {
      expect(await bench.verifyTotp({ accountId: id, code })).toEqual({ kind: 'malformed' });
      expect(await bench.confirmTotp({ accountId: id, code })).toEqual({ kind: 'malformed' });
      expect(await bench.verifyRecoveryCode({ accountId: id, code })).toEqual({ kind: 'malformed' });
    }
    expect((await bench.verifyTotp({ accountId: id, code: bench.codeOf(secret) })).kind).toBe('ok');
  });

  it('takes full-width digits and spaces', async () => {
    const bench = open();
    const { id, secret } = await bench.enrol();
    const fullWidth = bench
      .codeOf(secret)
      .replaceAll(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit)));
    const typed = ` ${fullWidth.slice(0, 3)}　${fullWidth.slice(3)}`;
    expect((await bench.verifyTotp({ accountId: id, code: typed })).kind).toBe('ok');
  });

  it('spends a step once, and every earlier one with it', async () => {
    const bench = open();
    const { id, secret } = await bench.enrol();
    const [earlier, now, later] = [-30, 0, 30].map((ahead) => bench.codeOf(secret, ahead));
    expect((await bench.verifyTotp({ accountId: id, code: now! })).kind).toBe('ok');
    expect((await bench.verifyTotp({ accountId: id, code: now! })).kind).toBe('wrong');
    expect((await bench.verifyTotp({ accountId: id, code: earlier! })).kind).toBe('wrong');
    expect((await bench.verifyTotp({ accountId: id, code: later! })).kind).toBe('ok');
  });

  it('of 50 at once with the same code exactly one succeeds, twenty times over, each recorded', async () => {
    const bench = open({ freeAttempts: 1000 });
    const { id, secret } = await bench.enrol();
    for (let round = 0; round < 20; round += 1) {
      bench.clock.advanceSeconds(30);
      const code = bench.codeOf(secret);
      const results = await Promise.all(
        Array.from({ length: 50 }, () => bench.verifyTotp({ accountId: id, code })),
      );
      expect(results.filter(({ kind }) => kind === 'ok')).toHaveLength(1);
    }
    expect(await eventsOf(id, 'sign_in.factor_succeeded')).toHaveLength(20);
  });

  it('is slowed down after five wrong codes, and the right one waits as well', async () => {
    const bench = open();
    const { id, secret } = await bench.enrol();
    const code = bench.codeOf(secret);
    const throttled = await runInUnitOfWork(audit, async (unit) => {
      for (let i = 0; i < 5; i += 1) {
        expect(await bench.verifyTotp({ accountId: id, code: wrong(code) })).toEqual({ kind: 'wrong' });
      }
      const right = await bench.verifyTotp({ accountId: id, code });
      await unit.commit();
      return right;
    });
    if (throttled.kind !== 'throttled') throw new Error('it should have been throttled');
    // Part of the delay may have passed since it began.
    expect([3, 2]).toContain(throttled.retryAfterSeconds);
    expect(await eventsOf(id, 'sign_in.factor_failed')).toEqual(
      Array.from({ length: 5 }, () => ({ method: 'totp', reason: 'wrong_code' })),
    );
    expect(await eventsOf(id, 'sign_in.throttled')).toEqual([
      { method: 'totp', reason: 'factor', retry_after_seconds: throttled.retryAfterSeconds },
    ]);
  });

  it('counts guesses before it judges them', async () => {
    const bench = open();
    const { id, secret } = await bench.enrol();
    const code = wrong(bench.codeOf(secret));
    const results = await Promise.all(
      Array.from({ length: 100 }, () => bench.verifyTotp({ accountId: id, code })),
    );
    expect(results.filter(({ kind }) => kind === 'wrong')).toHaveLength(5);
  });

  it('forgets wrong codes after a right one', async () => {
    const bench = open();
    const { id, secret } = await bench.enrol();
    for (let round = 0; round < 3; round += 1) {
      bench.clock.advanceSeconds(30);
      const code = bench.codeOf(secret);
      for (let i = 0; i < 4; i += 1) await bench.verifyTotp({ accountId: id, code: wrong(code) });
      expect((await bench.verifyTotp({ accountId: id, code })).kind).toBe('ok');
    }
  });

  it('leaves the step good where the record cannot be written', async () => {
    const bench = open();
    const { id, secret } = await bench.enrol();
    const code = bench.codeOf(secret);
    await database.db.query('alter table audit_events rename to audit_events_away');
    try {
      await expect(bench.verifyTotp({ accountId: id, code })).rejects.toThrow('audit_events');
    } finally {
      await database.db.query('alter table audit_events_away rename to audit_events');
    }
    expect((await bench.verifyTotp({ accountId: id, code })).kind).toBe('ok');
  });
});

describe('recovery codes', () => {
  it('work once each, however they are typed', async () => {
    const bench = open();
    const { id, recoveryCodes } = await bench.enrol();
    expect(new Set(recoveryCodes).size).toBe(10);
    const [first, second] = recoveryCodes;
    expect(await bench.verifyRecoveryCode({ accountId: id, code: first! })).toEqual({
      kind: 'ok',
      remaining: 9,
    });
    expect(await bench.verifyRecoveryCode({ accountId: id, code: first! })).toEqual({ kind: 'wrong' });
    const typed = ` ${second!.toUpperCase().replaceAll('-', ' ')} `;
    expect(await bench.verifyRecoveryCode({ accountId: id, code: typed })).toEqual({
      kind: 'ok',
      remaining: 8,
    });
    // The clock of the test stands still, so the two have no order.
    expect(new Set(await eventsOf(id, 'factor.recovery_code_used'))).toEqual(
      new Set([{ remaining: 9 }, { remaining: 8 }]),
    );
  });

  it('of 50 at once with the same code exactly one succeeds', async () => {
    const bench = open({ freeAttempts: 1000 });
    const { id, recoveryCodes } = await bench.enrol();
    for (const code of recoveryCodes) {
      const results = await Promise.all(
        Array.from({ length: 50 }, () => bench.verifyRecoveryCode({ accountId: id, code })),
      );
      expect(results.filter(({ kind }) => kind === 'ok')).toHaveLength(1);
    }
    expect(await bench.remainingRecoveryCodes(id)).toBe(0);
  });

  it('are nobody else’s, and nobody’s without a factor', async () => {
    const bench = open();
    const owner = await bench.enrol();
    const other = await bench.enrol();
    const { id: bare } = await buildAccount({ db: database.db });
    for (const accountId of [other.id, bare]) {
      expect(await bench.verifyRecoveryCode({ accountId, code: owner.recoveryCodes[0]! })).toEqual({
        kind: 'wrong',
      });
    }
  });

  it('are stored as keyed digests only', async () => {
    const bench = open();
    const { id, recoveryCodes } = await bench.enrol();
    const { rows } = await database.db.query<{ digest: string }>(
      'select digest from recovery_codes where account_id = $1',
      [id],
    );
    expect(rows).toHaveLength(10);
    for (const { digest } of rows) expect(digest).toMatch(/^[\w-]{43}$/);
    for (const code of recoveryCodes) expect(JSON.stringify(rows)).not.toContain(code.replaceAll('-', ''));
  });

  it('are slowed down apart from TOTP', async () => {
    const bench = open();
    const { id, secret, recoveryCodes } = await bench.enrol();
    const guess = { accountId: id, code: 'aaaa-aaaa-aaaa' };
    for (let i = 0; i < 5; i += 1) expect((await bench.verifyRecoveryCode(guess)).kind).toBe('wrong');
    expect((await bench.verifyRecoveryCode({ accountId: id, code: recoveryCodes[0]! })).kind).toBe(
      'throttled',
    );
    expect((await bench.verifyTotp({ accountId: id, code: bench.codeOf(secret) })).kind).toBe('ok');
  });

  it('are replaced all at once', async () => {
    const bench = open();
    const { id, recoveryCodes } = await bench.enrol();
    const fresh = await bench.regenerateRecoveryCodes(id, TEST_OPERATOR);
    expect(fresh).toHaveLength(10);
    expect(await bench.verifyRecoveryCode({ accountId: id, code: recoveryCodes[0]! })).toEqual({
      kind: 'wrong',
    });
    expect(await bench.verifyRecoveryCode({ accountId: id, code: fresh[0]! })).toEqual({
      kind: 'ok',
      remaining: 9,
    });
  });

  it('come with a factor only', async () => {
    const { id } = await buildAccount({ db: database.db });
    await expect(open().regenerateRecoveryCodes(id, TEST_OPERATOR)).rejects.toMatchObject({
      code: 'totp_not_enrolled',
      status: 409,
    });
  });
});

describe('resetting the factors', () => {
  it('removes them, ends everything issued so far, and is recorded', async () => {
    const bench = open();
    const { id, secret, recoveryCodes } = await bench.enrol();
    await bench.resetFactors(id, TEST_OPERATOR);
    expect(await bench.hasTotp(id)).toBe(false);
    expect((await bench.verifyTotp({ accountId: id, code: bench.codeOf(secret) })).kind).toBe('wrong');
    expect((await bench.verifyRecoveryCode({ accountId: id, code: recoveryCodes[0]! })).kind).toBe('wrong');
    const { rows } = await database.db.query(
      `select kind, before, reason from revocations
        where subject = (select sub from accounts where id = $1)`,
      [id],
    );
    expect(rows).toEqual([{ kind: 'account', before: bench.clock.now(), reason: 'factors_reset' }]);
    expect(await eventsOf(id, 'factor.reset')).toEqual([{ removed: ['totp', 'recovery_codes'] }]);
    expect((await bench.beginTotpEnrolment(id)).secret).not.toBe(secret);
  });

  it('is refused for nobody', async () => {
    await expect(open().resetFactors('nobody', TEST_OPERATOR)).rejects.toMatchObject({
      code: 'account_not_found',
    });
  });
});

describe('replacing the sealing key', () => {
  it('keeps every factor and recovery code working, also when the old key is gone', async () => {
    const old = open();
    const enrolled = [await old.enrol(), await old.enrol()];
    expect(await resealSecrets({ db: database.db, sealer: createSealer([OLD_KEY]) })).toBe(0);
    const count = await resealSecrets({ db: database.db, sealer: createSealer([NEW_KEY, OLD_KEY]) });
    expect(count).toBeGreaterThanOrEqual(4);
    expect(await resealSecrets({ db: database.db, sealer: createSealer([NEW_KEY]) })).toBe(0);

    const bench = open({ sealer: createSealer([NEW_KEY]) });
    bench.clock.advanceSeconds(300);
    for (const { id, secret, recoveryCodes } of enrolled) {
      expect((await bench.verifyTotp({ accountId: id, code: bench.codeOf(secret) })).kind).toBe('ok');
      expect((await bench.verifyRecoveryCode({ accountId: id, code: recoveryCodes[3]! })).kind).toBe('ok');
    }
  });

  it('stops where a key is missing, and loses nothing', async () => {
    await open({ sealer: createSealer([NEW_KEY]) }).enrol();
    const stranger = createSealer([{ id: 'stranger', key: randomBytes(32) }]);
    await expect(resealSecrets({ db: database.db, sealer: stranger })).rejects.toThrow(
      /totp of account [\da-f-]+ cannot be opened/,
    );
  });
});
