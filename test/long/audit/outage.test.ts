import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import type { Batch } from '../../../src/audit/batch.ts';
import { isAuditUnavailable, isSpendConflict } from '../../../src/audit/errors.ts';
import type { AuditLog } from '../../../src/audit/log.ts';
import { createDatabase, type Database } from '../../../src/platform/database.ts';
import { uuidv7 } from '../../../src/platform/ids.ts';
import { buildBatch as buildAnyBatch, buildSpend, openAuditLog } from '../../support/audit.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createDatabaseProxy, type DatabaseProxy } from '../../support/database-proxy.ts';

const COMMIT_TIMEOUT_MS = 1_500;
/** Without waiting for the database; the rest is for a busy machine. */
const AT_ONCE_MS = COMMIT_TIMEOUT_MS / 2;

let test: TestDatabase;
let proxy: DatabaseProxy;
let through: Database;
let log: AuditLog;
/** Another process, whose way to the database stays sound. */
let other: AuditLog;

beforeEach(async () => {
  test = await createTestDatabase();
  proxy = await createDatabaseProxy(test.connectionString);
  through = createDatabase({
    connection: { connectionString: proxy.connectionString },
    connectTimeoutMs: 500,
  });
  log = openAuditLog(through, { commitTimeoutMs: COMMIT_TIMEOUT_MS });
  other = openAuditLog(test.db);
  await log.write(buildAnyBatch());
});

afterEach(async () => {
  proxy.restore();
  await log.close();
  await other.close();
  await through.close();
  await proxy.close();
  await test.drop();
});

async function eventually(work: () => Promise<void>, withinMs = 3_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function timed(work: Promise<unknown>): Promise<{ error: unknown; tookMs: number }> {
  const start = performance.now();
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { error, tookMs: performance.now() - start };
}

const typesOf = async (requestId: string | undefined): Promise<string[]> =>
  (await other.list({ requestId })).events.map(({ type }) => type);

/** Takes the lock of the chain's head; returns what gives it back. */
async function holdHead(): Promise<() => Promise<void>> {
  const isHeld = Promise.withResolvers<void>();
  const isLetGo = Promise.withResolvers<void>();
  const holding = test.db.transaction(async (tx) => {
    await tx.query('select from audit_head for update');
    isHeld.resolve();
    await isLetGo.promise;
  });
  await isHeld.promise;
  return () => {
    isLetGo.resolve();
    return holding;
  };
}

const expectWhole = async (): Promise<void> => {
  expect(await other.verify()).toMatchObject({ isWhole: true });
};

describe('a database that is away', () => {
  it('refuses at once what comes, and resumes by itself, with the credential still good', async () => {
    const batch = buildAnyBatch({ spent: [buildSpend(uuidv7())] });
    proxy.cut();
    expect(isAuditUnavailable((await timed(log.write(batch))).error)).toBe(true);
    for (let round = 0; round < 20; round++) {
      const { error, tookMs } = await timed(log.write(batch));
      expect(isAuditUnavailable(error)).toBe(true);
      expect(tookMs).toBeLessThan(AT_ONCE_MS);
    }
    proxy.restore();
    await eventually(() => log.write(batch));
    expect(await typesOf(batch.requestId)).toEqual(['token.issued']);
    await expectWhole();
  });

  it('that says nothing any more refuses within the time a commit may take, then at once', async () => {
    const batch = buildAnyBatch({ spent: [buildSpend(uuidv7())] });
    proxy.freeze();
    const first = await timed(log.write(batch));
    expect(isAuditUnavailable(first.error)).toBe(true);
    expect(first.tookMs).toBeLessThan(COMMIT_TIMEOUT_MS * 2);
    const second = await timed(log.write(batch));
    expect(isAuditUnavailable(second.error)).toBe(true);
    expect(second.tookMs).toBeLessThan(AT_ONCE_MS);
    proxy.cut();
    proxy.restore();
    await eventually(() => log.write(batch));
    await expectWhole();
  });

  it('refuses all that waits, and loses nothing of what it has confirmed', async () => {
    const confirmed: string[] = [];
    const refused: unknown[] = [];
    const clients = Array.from({ length: 20 }, async () => {
      for (let round = 0; round < 40; round++) {
        const requestId = uuidv7();
        await log
          .write(buildAnyBatch({ requestId, spent: [buildSpend(requestId)] }))
          .then(() => confirmed.push(requestId))
          .catch((error: unknown) => refused.push(error));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    });
    await new Promise((resolve) => setTimeout(resolve, 60));
    proxy.cut();
    // Those twenty may all wait in one flush, which is found out about afterwards.
    for (let round = 0; round < 5; round++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      await log.write(buildAnyBatch()).catch((error: unknown) => refused.push(error));
    }
    proxy.restore();
    await Promise.all(clients);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.every(isAuditUnavailable)).toBe(true);
    const { rows } = await test.db.query<{ request_id: string }>(
      `select request_id from audit_events where type = 'token.issued'`,
    );
    const recorded = new Set(rows.map((row) => row.request_id));
    expect(confirmed.filter((requestId) => !recorded.has(requestId))).toEqual([]);
    await expectWhole();
  });

  it('is not noticed where only idle connections were ended', async () => {
    await test.db.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()',
      [test.name],
    );
    await log.write(buildAnyBatch());
    await expectWhole();
  });

  it('whose head somebody holds for too long refuses, and resumes', async () => {
    const letGo = await holdHead();
    const first = await timed(log.write(buildAnyBatch()));
    expect(isAuditUnavailable(first.error)).toBe(true);
    expect((await timed(log.write(buildAnyBatch()))).tookMs).toBeLessThan(AT_ONCE_MS);
    await letGo();
    await eventually(() => log.write(buildAnyBatch()));
    await expectWhole();
  });
});

/** What both ways to flush have to do alike: `judged` depends on something that the database holds. */
describe.each(['at once', 'judged'] as const)('a connection that is lost at the commit (%s)', (way) => {
  const isOwn = way === 'judged';
  const account = uuidv7();
  const before = new Date(Date.now() - 60_000);
  const buildBatch = (overrides: Partial<Batch> = {}): Batch =>
    buildAnyBatch({
      ...overrides,
      // Revoked, but what this builds upon was issued a moment later.
      ...(isOwn
        ? { requireLive: [{ accountId: account, issuedAt: new Date(before.getTime() + 1_500) }] }
        : {}),
    });
  beforeEach(async () => {
    const expiresAt = new Date(Date.now() + 3_600_000);
    const revocations = [{ kind: 'account' as const, id: account, before, expiresAt, reason: 'sign_out' }];
    await other.write(buildAnyBatch({ revocations }));
  });

  it.each(['after', 'answered'] as const)(
    '(%s) does not show when the database can be asked',
    async (moment) => {
      const batch = buildBatch({ spent: [buildSpend(uuidv7())] });
      const cut = proxy.cutAtCommit(moment, { isOwn });
      const writing = log.write(batch);
      await cut;
      await writing;
      expect(await typesOf(batch.requestId)).toEqual(['token.issued']);
      await expect(log.write(batch)).rejects.toMatchObject({ code: 'credential_spent' });
      await expectWhole();
    },
  );

  it('does not show when the commit never arrived: the batch is written again, once', async () => {
    const batch = buildBatch({ spent: [buildSpend(uuidv7())] });
    const cut = proxy.cutAtCommit('before', { isOwn });
    const writing = log.write(batch);
    await cut;
    await writing;
    expect(await typesOf(batch.requestId)).toEqual(['token.issued']);
    await expectWhole();
  });

  it.each(['before', 'after', 'answered'] as const)(
    '(%s) and cannot be made again refuses, and the retry succeeds',
    async (moment) => {
      const spent = [buildSpend(uuidv7())];
      const batch = buildBatch({ spent });
      const cut = proxy.cutAtCommit(moment, { stayCut: true, isOwn });
      const writing = timed(log.write(batch));
      await cut;
      const { error, tookMs } = await writing;
      expect(isAuditUnavailable(error)).toBe(true);
      expect(tookMs).toBeLessThan(COMMIT_TIMEOUT_MS * 2);

      proxy.restore();
      const retry = buildBatch({ spent });
      await eventually(() => log.write(retry));
      expect(await typesOf(retry.requestId)).toEqual(['token.issued']);
      // What had become durable without being delivered says so.
      expect(await typesOf(batch.requestId)).toEqual(
        moment === 'before' ? [] : ['token.issued', 'token.withheld'],
      );
      await expect(log.write(buildBatch({ spent }))).rejects.toMatchObject({ code: 'credential_spent' });
      await expectWhole();
    },
  );

  it('holds off another process from refusing the retry, until the first has taken its spend back', async () => {
    const spent = [buildSpend(uuidv7())];
    const batch = buildBatch({ spent });
    const cut = proxy.cutAtCommit('after', { stayCut: true, isOwn });
    const writing = timed(log.write(batch));
    await cut;
    expect(isAuditUnavailable((await writing).error)).toBe(true);

    const early = await timed(other.write(buildBatch({ spent })));
    expect(isSpendConflict(early.error)).toBe(false);
    expect(isAuditUnavailable(early.error)).toBe(true);

    proxy.restore();
    const retries = await Promise.allSettled(
      Array.from({ length: 10 }, () => other.write(buildBatch({ spent }))),
    );
    const lost = retries.filter((result) => result.status === 'rejected').map(({ reason }) => reason);
    expect(retries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(lost.every(isSpendConflict)).toBe(true);
    expect(await typesOf(batch.requestId)).toEqual(['token.issued', 'token.withheld']);
    await expectWhole();
  });

  it('does not show when the database was still waiting for the head', async () => {
    const batch = buildBatch({ spent: [buildSpend(uuidv7())] });
    const letGo = await holdHead();
    const cut = isOwn ? undefined : proxy.cutAtCommit('sent');
    const writing = timed(log.write(batch));
    await (cut ?? new Promise((resolve) => setTimeout(resolve, 100)));
    await new Promise((resolve) => setTimeout(resolve, 200));
    await letGo();
    expect((await writing).error).toBeUndefined();
    expect(await typesOf(batch.requestId)).toEqual(['token.issued']);
    await expect(log.write(batch)).rejects.toMatchObject({ code: 'credential_spent' });
    await expectWhole();
  });

  it('never grants a credential twice, whenever it is cut', async () => {
    for (let round = 0; round < 8; round++) {
      const spent = [buildSpend(uuidv7())];
      const batches = Array.from({ length: 6 }, () => buildBatch({ spent }));
      const cut = proxy.cutAtCommit(round % 2 === 0 ? 'after' : 'before', { isOwn });
      const results = await Promise.allSettled([
        ...batches.slice(0, 4).map((batch) => log.write(batch)),
        ...batches.slice(4).map((batch) => other.write(batch)),
      ]);
      // Where the other process won, there was no commit to cut.
      await log.write(buildBatch()).catch(() => {});
      await cut;
      const granted = results.filter(({ status }) => status === 'fulfilled');
      expect(granted).toHaveLength(1);
      await eventually(() => log.write(buildBatch()));
    }
    await expectWhole();
  }, 60_000);
});
