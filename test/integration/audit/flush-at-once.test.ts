import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';

import { appendInTransaction } from '../../../src/audit/append.ts';
import { type Batch, prepareBatch } from '../../../src/audit/batch.ts';
import { flushAtOnce } from '../../../src/audit/flush-at-once.ts';
import { settle } from '../../../src/audit/settlement.ts';
import { verifyChain } from '../../../src/audit/verify.ts';
import { uuidv7 } from '../../../src/platform/ids.ts';
import type { Connection } from '../../../src/platform/connection.ts';
import { buildBatch, buildSpend } from '../../support/audit.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

let test: TestDatabase;
let connection: Connection;
let writerId: string;
let flush: number;

beforeAll(async () => {
  test = await createTestDatabase();
  connection = await test.db.connect();
});
afterAll(async () => {
  await connection.close();
  await test.drop();
});
beforeEach(() => {
  writerId = uuidv7();
  flush = 0;
});

async function flushed(
  batches: Batch[],
  {
    number,
    isLinkDue = false,
    timeoutMs = 5_000,
  }: { number?: number; isLinkDue?: boolean; timeoutMs?: number } = {},
): Promise<string> {
  flush = number ?? flush + 1;
  const prepared = batches.map((batch) => prepareBatch(batch, new Date()));
  const { kind } = await flushAtOnce(connection, {
    batches: prepared,
    writerId,
    flush,
    isLinkDue,
    timeoutMs,
  });
  return kind;
}

const count = async (table: 'audit_events' | 'spent' | 'revocations'): Promise<number> => {
  const { rows } = await test.db.query<{ count: number }>(`select count(*)::int as count from ${table}`);
  return rows[0]?.count ?? Number.NaN;
};

const later = (): Date => new Date(Date.now() + 60_000);

it('writes and links, so that the chain that we compute holds', async () => {
  const odd = {
    type: 'sign_in.failed' as const,
    outcome: 'failure' as const,
    accountId: uuidv7(),
    payload: { method: 'password' as const, reason: 'ä "quoted" \\ \u2028 \u{1F512} \u0007' },
  };
  const batches = [
    buildBatch({ spent: [buildSpend(uuidv7())], ip: '2001:db8::1', userAgent: 'ä "agent" \\' }),
    buildBatch({ events: [odd, odd] }),
  ];
  expect(await flushed(batches)).toBe('committed');
  expect(await flushed([buildBatch()])).toBe('committed');
  expect(await verifyChain(test.db)).toMatchObject({ isWhole: true });
  const { rows } = await test.db.query(
    `select payload ->> 'reason' as reason, personal, personal_digest from audit_events where type = 'sign_in.failed'`,
  );
  expect(rows).toHaveLength(2);
  expect(rows[0]).toMatchObject({ reason: odd.payload.reason, personal: null, personal_digest: null });
});

it('has nothing to write for a batch that only asks whether something lives', async () => {
  const before = await count('audit_events');
  const asking = buildBatch({ events: [], requireLive: [{ clientId: uuidv7(), issuedAt: new Date() }] });
  expect(await flushed([asking])).toBe('committed');
  expect(await count('audit_events')).toBe(before);
});

it('leaves to be judged what the database knows something of, and writes nothing', async () => {
  const id = uuidv7();
  const spend = buildSpend(uuidv7());
  const revocation = { kind: 'client' as const, id, expiresAt: later(), reason: 'test' };
  expect(await flushed([buildBatch({ spent: [spend], revocations: [revocation] })])).toBe('committed');
  const before = await Promise.all([count('audit_events'), count('spent'), count('revocations')]);
  for (const known of [
    buildBatch({ spent: [spend] }),
    // Whether a revocation covers it is not for the database to say.
    buildBatch({ requireLive: [{ clientId: id, issuedAt: later() }] }),
    buildBatch({ events: [], requireLive: [{ clientId: id, issuedAt: new Date(0) }] }),
  ]) {
    const sound = buildBatch({
      spent: [buildSpend(uuidv7())],
      revocations: [{ ...revocation, id: uuidv7() }],
    });
    expect(await flushed([sound, known])).toBe('declined');
  }
  expect(await Promise.all([count('audit_events'), count('spent'), count('revocations')])).toEqual(before);
});

it('need not judge what was issued after a revocation, unless both are of nearly the same moment', async () => {
  const id = uuidv7();
  const before = new Date('2026-01-01T00:00:00.900Z');
  const revocation = { kind: 'account_sessions' as const, id, before, expiresAt: later(), reason: 'test' };
  expect(await flushed([buildBatch({ revocations: [revocation] })])).toBe('committed');
  const outcomes: string[] = [];
  for (const afterMs of [-60_000, 0, 100, 1_900, 2_000, 60_000]) {
    const issuedAt = new Date(before.getTime() + afterMs);
    const requireLive = [{ accountId: id, sessionUid: 'any', issuedAt }];
    outcomes.push(await flushed([buildBatch({ requireLive })]));
  }
  expect(outcomes).toEqual([...Array<string>(4).fill('declined'), 'committed', 'committed']);
});

it('leaves what subjects appended to whoever links it, where that is due', async () => {
  await test.db.transaction((tx) =>
    appendInTransaction(tx, { type: 'server.started', outcome: 'success', payload: { version: '1.2.3' } }),
  );
  expect(await flushed([buildBatch()], { isLinkDue: true })).toBe('declined');
  expect(await flushed([buildBatch()])).toBe('committed');
});

it('writes nothing once its writer has said what became of it, however late it comes', async () => {
  await settle(connection, writerId, 7);
  const before = await count('audit_events');
  const batch = buildBatch({ spent: [buildSpend(uuidv7())] });
  expect(await flushed([batch], { number: 7 })).toBe('declined');
  expect(await count('audit_events')).toBe(before);
  expect(await flushed([batch], { number: 8 })).toBe('committed');
  // Said late, and for an earlier one: that unsays nothing.
  await settle(connection, writerId, 6);
  expect(await flushed([buildBatch()], { number: 7 })).toBe('declined');
});

it('does not trust what it sees in a transaction that sees no commits of others', async () => {
  await connection.query('begin isolation level repeatable read');
  expect(await flushed([buildBatch()])).toBe('declined');
  await connection.query('rollback');
});

it('waits for the head no longer than its requests do, and says so', async () => {
  await test.db.transaction(async (tx) => {
    await tx.query('select from audit_head for update');
    expect(await flushed([buildBatch()], { timeoutMs: 200 })).toBe('failed');
  });
  expect(await flushed([buildBatch()])).toBe('committed');
});

it('cannot say what became of it where the server ended the connection', async () => {
  const lost = await test.db.connect();
  const { rows } = await lost.query<{ pid: number }>('select pg_backend_pid() as pid');
  const outcome = await test.db.transaction(async (tx) => {
    await tx.query('select from audit_head for update');
    const flushing = flushAtOnce(lost, {
      batches: [prepareBatch(buildBatch(), new Date())],
      writerId,
      flush: 1,
      isLinkDue: false,
      timeoutMs: 5_000,
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    await tx.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
    return flushing;
  });
  expect(outcome.kind).toBe('ambiguous');
});
