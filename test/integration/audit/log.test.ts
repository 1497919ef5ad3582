import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { appendInTransaction } from '../../../src/audit/append.ts';
import { isAuditUnavailable } from '../../../src/audit/errors.ts';
import type { AuditEvent } from '../../../src/audit/events.ts';
import type { AuditLog } from '../../../src/audit/log.ts';
import { ensurePartitions } from '../../../src/audit/partitions.ts';
import { listEvents } from '../../../src/audit/query.ts';
import { uuidv7 } from '../../../src/platform/ids.ts';
import { runInRequest } from '../../../src/platform/request-context.ts';
import { buildBatch, buildSpend, openAuditLog } from '../../support/audit.ts';
import { createTestClock } from '../../support/clock.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

let test: TestDatabase;
let log: AuditLog;

beforeAll(async () => {
  test = await createTestDatabase();
  log = openAuditLog(test.db);
});

afterAll(async () => {
  await log.close();
  await test.drop();
});

const started: AuditEvent = { type: 'server.started', outcome: 'success', payload: { version: '1.2.3' } };

describe('writing', () => {
  it('shows an event with all that it was given', async () => {
    const accountId = uuidv7();
    const requestId = uuidv7();
    await log.write(
      buildBatch({
        events: [
          {
            type: 'account.created',
            outcome: 'success',
            actor: { kind: 'operator', name: 'root' },
            accountId,
            clientId: 'c',
            sessionUid: 's',
            grantId: 'g',
            payload: { email: 'ann@example.com', email_verified: true },
          },
        ],
        requestId,
        ip: '2001:db8::1',
        userAgent: 'curl/8',
      }),
    );
    const { events } = await log.list({ requestId });
    // As a page shows it to a person: the end of the id, in two groups.
    const end = requestId.replaceAll('-', '').slice(-8).toUpperCase();
    for (const reference of [`${end.slice(0, 4)}-${end.slice(4)}`, end.toLowerCase()]) {
      expect((await log.list({ requestId: reference })).events).toEqual(events);
    }
    expect(events).toEqual([
      {
        id: expect.any(String),
        type: 'account.created',
        at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}000Z$/),
        outcome: 'success',
        request_id: requestId,
        seq: expect.any(Number),
        hash: expect.any(String),
        prev_hash: expect.any(String),
        actor: { kind: 'operator', id: 'root' },
        account_id: accountId,
        client_id: 'c',
        session_uid: 's',
        grant_id: 'g',
        ip: '2001:db8::1',
        user_agent: 'curl/8',
        payload: { email: 'ann@example.com', email_verified: true },
        personal_digest: expect.any(String),
      },
    ]);
  });

  it('stores text that jsonb cannot hold, and the chain stays whole', async () => {
    const requestId = uuidv7();
    await log.write(
      buildBatch({
        events: [
          {
            type: 'sign_in.failed',
            outcome: 'failure',
            payload: { method: 'password', reason: 'a\u0000b\uD800' },
          },
        ],
        requestId,
        userAgent: 'bad\u0000agent',
      }),
    );
    const { events } = await log.list({ requestId });
    expect(events[0]).toMatchObject({ user_agent: 'bad\uFFFDagent', payload: { reason: 'a\uFFFDb\uFFFD' } });
    expect((await log.verify()).isWhole).toBe(true);
  });

  it('refuses a payload that the schema does not allow, and writes nothing of that batch', async () => {
    const requestId = uuidv7();
    const event = { ...started, payload: { code: 'secret' } } as unknown as AuditEvent;
    await expect(log.write(buildBatch({ events: [started, event], requestId }))).rejects.toThrow(
      'server.started',
    );
    expect((await log.list({ requestId })).events).toEqual([]);
  });

  it('refuses one batch that the database refuses, not those that came along with it', async () => {
    const poison = { ...buildSpend(uuidv7()), expiresAt: new Date(Number.NaN) };
    const results = await Promise.allSettled([
      ...Array.from({ length: 10 }, () => log.write(buildBatch())),
      log.write(buildBatch({ spent: [poison] })),
      ...Array.from({ length: 10 }, () => log.write(buildBatch())),
    ]);
    expect(results.map(({ status }) => status)).toEqual([
      ...Array<string>(10).fill('fulfilled'),
      'rejected',
      ...Array<string>(10).fill('fulfilled'),
    ]);
    expect(isAuditUnavailable((results[10] as PromiseRejectedResult).reason)).toBe(true);
  });

  it('bounds what waits in memory', async () => {
    const small = openAuditLog(test.db, { maxQueuedBatches: 3 });
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => small.write(buildBatch())));
    const refused = results.filter((result) => result.status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.length).toBeLessThan(20);
    expect(refused.every(({ reason }) => isAuditUnavailable(reason))).toBe(true);
    await small.close();
  });

  it('commits in groups', async () => {
    const flushes: number[] = [];
    const grouping = openAuditLog(test.db, { onFlush: ({ batches }) => flushes.push(batches) });
    await Promise.all(Array.from({ length: 200 }, () => grouping.write(buildBatch())));
    await grouping.close();
    expect(flushes.reduce((sum, batches) => sum + batches, 0)).toBe(200);
    expect(flushes.length).toBeLessThan(20);
  });

  it('finishes what is under way when it is closed, and refuses what comes later', async () => {
    const closing = openAuditLog(test.db);
    const requestId = uuidv7();
    const writes = Array.from({ length: 5 }, () => closing.write(buildBatch({ requestId })));
    await closing.close();
    await Promise.all(writes);
    expect((await log.list({ requestId })).events).toHaveLength(5);
    await expect(closing.write(buildBatch())).rejects.toMatchObject({ status: 503, retryAfterSeconds: 1 });
  });

  it('gives a fingerprint that depends on the key', async () => {
    const other = openAuditLog(test.db, { fingerprintKey: Buffer.alloc(32, 8) });
    expect(log.fingerprint('token')).toBe(log.fingerprint('token'));
    expect(log.fingerprint('token')).not.toBe(other.fingerprint('token'));
    await other.close();
  });
});

describe("a row of a subject's own transaction", () => {
  it('is linked within a second, carrying the request it belongs to', async () => {
    const requestId = uuidv7();
    // Read in the transaction: once it has committed, the log may link the row at any moment.
    const appended = await runInRequest({ requestId, ip: '192.0.2.7' }, () =>
      test.db.transaction(async (tx) => {
        await appendInTransaction(tx, started);
        return listEvents(tx, { requestId });
      }),
    );
    expect(appended.events[0]).toMatchObject({
      seq: null,
      hash: null,
      ip: '192.0.2.7',
    });
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const { events } = await log.list({ requestId });
    expect(events[0]?.seq).toEqual(expect.any(Number));
    expect(await log.verify()).toMatchObject({ isWhole: true, unlinked: 0 });
  });

  it('leaves nothing when the transaction is rolled back', async () => {
    const requestId = uuidv7();
    const work = runInRequest({ requestId }, () =>
      test.db.transaction(async (tx) => {
        await appendInTransaction(tx, started);
        throw new Error('changed my mind');
      }),
    );
    await expect(work).rejects.toThrow('changed my mind');
    expect((await log.list({ requestId })).events).toEqual([]);
  });

  it('never makes a token wait, however long its transaction takes', async () => {
    const hasBegun = Promise.withResolvers<void>();
    const mayFinish = Promise.withResolvers<void>();
    const held = test.db.transaction(async (tx) => {
      await appendInTransaction(tx, started);
      hasBegun.resolve();
      await mayFinish.promise;
    });
    await hasBegun.promise;
    for (let round = 0; round < 5; round++) await log.write(buildBatch());
    mayFinish.resolve();
    await held;
    await log.link();
    expect(await log.verify()).toMatchObject({ isWhole: true, unlinked: 0 });
  });
});

describe('reading', () => {
  it('filters, and pages backwards with the newest last', async () => {
    const clientId = uuidv7();
    const failed: AuditEvent = {
      type: 'token.refused',
      outcome: 'failure',
      clientId,
      payload: { error: 'invalid_grant' },
    };
    for (let round = 0; round < 5; round++)
      await log.write(buildBatch({ events: [{ ...started, clientId }, failed] }));

    expect((await log.list({ clientId })).events).toHaveLength(10);
    expect((await log.list({ clientId, types: ['token.refused'] })).events).toHaveLength(5);
    expect((await log.list({ clientId, types: ['token'] })).events).toHaveLength(5);
    expect((await log.list({ clientId, types: ['tok'] })).events).toHaveLength(0);
    expect((await log.list({ clientId, outcome: 'success' })).events).toHaveLength(5);
    expect((await log.list({ clientId, since: new Date(Date.now() + 60_000) })).events).toHaveLength(0);
    expect((await log.list({ clientId, until: new Date(Date.now() - 60_000) })).events).toHaveLength(0);

    const newest = await log.list({ clientId, limit: 4 });
    const middle = await log.list({ clientId, limit: 4, before: newest.before });
    const oldest = await log.list({ clientId, limit: 4, before: middle.before });
    expect(oldest.before).toBeUndefined();
    const all = [...oldest.events, ...middle.events, ...newest.events].map(({ id }) => id);
    expect(all).toEqual((await log.list({ clientId })).events.map(({ id }) => id));
    expect(all).toEqual([...all].sort());
  });

  it('finds what happened to an account and what it did', async () => {
    const [ann, bob] = [uuidv7(), uuidv7()];
    const disabled: AuditEvent = {
      type: 'account.disabled',
      outcome: 'success',
      actor: { kind: 'account', id: ann },
      accountId: bob,
      payload: {},
    };
    await log.write(buildBatch({ events: [disabled] }));
    expect((await log.list({ accountId: ann })).events).toHaveLength(1);
    expect((await log.list({ accountId: bob.toUpperCase() })).events).toHaveLength(1);
  });

  it.each([
    { accountId: 'ann@example.com' },
    { before: 'x' },
    { before: Buffer.from("'|'").toString('base64url') },
  ])('refuses %j', async (filter) => {
    await expect(log.list(filter)).rejects.toMatchObject({ code: 'invalid_filter', status: 400 });
  });

  it('exports everything once, oldest first', async () => {
    const exported: string[] = [];
    for await (const event of log.export()) exported.push(event.id);
    const { rows } = await test.db.query<{ id: string }>('select id from audit_events order by at, id');
    expect(exported).toEqual(rows.map(({ id }) => id));
    expect(new Set(exported).size).toBe(exported.length);
  });
});

describe('months', () => {
  const partitionsOf = async (requestId: string): Promise<string[]> => {
    const { rows } = await test.db.query<{ name: string }>(
      'select tableoid::regclass::text as name from audit_events where request_id = $1 order by at',
      [requestId],
    );
    return rows.map(({ name }) => name);
  };

  it('lets the chain cross from one to the next', async () => {
    const now = new Date();
    const next = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1));
    const clock = createTestClock(new Date(next.getTime() - 1));
    const crossing = openAuditLog(test.db, { clock });
    const requestId = uuidv7();
    await crossing.write(buildBatch({ requestId }));
    clock.advanceSeconds(0.001);
    await crossing.write(buildBatch({ requestId }));
    const [before, after] = await partitionsOf(requestId);
    expect(before).toMatch(/^audit_events_\d{4}_\d{2}$/);
    expect(after).toBe(
      `audit_events_${next.getUTCFullYear()}_${String(next.getUTCMonth() + 1).padStart(2, '0')}`,
    );
    expect(before).not.toBe(after);
    expect((await crossing.verify()).isWhole).toBe(true);
    await crossing.close();
  });

  it('never fails for want of a partition, and makes up for it later', async () => {
    const clock = createTestClock(new Date('2041-05-31T23:00:00Z'));
    const early = openAuditLog(test.db, { clock });
    const requestId = uuidv7();
    await early.write(buildBatch({ requestId }));
    expect(await partitionsOf(requestId)).toEqual(['audit_events_default']);
    expect(await ensurePartitions(test.db, clock.now())).toBe(4);
    expect(await ensurePartitions(test.db, clock.now())).toBe(0);
    expect(await partitionsOf(requestId)).toEqual(['audit_events_2041_05']);
    await early.write(buildBatch({ requestId }));
    expect((await early.verify()).isWhole).toBe(true);
    await expect(test.db.query('delete from audit_events_2041_05')).rejects.toThrow('append-only');
    await early.close();
  });
});
