import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { isAuditUnavailable, isRevokedConflict, isSpendConflict } from '../../../src/audit/errors.ts';
import type { AuditLog } from '../../../src/audit/log.ts';
import { insertRevocation, removeExpiredRevocations } from '../../../src/audit/revocations.ts';
import { removeExpiredSpent } from '../../../src/audit/spent.ts';
import { uuidv7 } from '../../../src/platform/ids.ts';
import { buildBatch, buildSpend, openAuditLog } from '../../support/audit.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

let test: TestDatabase;
let log: AuditLog;
let other: AuditLog;

beforeAll(async () => {
  test = await createTestDatabase();
  log = openAuditLog(test.db);
  other = openAuditLog(test.db);
});

afterAll(async () => {
  await log.close();
  await other.close();
  await test.drop();
});

const inAnHour = (): Date => new Date(Date.now() + 3_600_000);

describe('of equal spends at once', () => {
  it.each([
    ['in one process', () => [log]],
    ['in two processes', () => [log, other]],
  ])('exactly one wins, %s', async (_, logs) => {
    for (let round = 0; round < 10; round++) {
      const digest = uuidv7();
      const requestId = uuidv7();
      const results = await Promise.allSettled(
        Array.from({ length: 50 }, (__, index) =>
          logs()[index % logs().length]!.write(buildBatch({ spent: [buildSpend(digest)], requestId })),
        ),
      );
      const lost = results.filter((result) => result.status === 'rejected').map(({ reason }) => reason);
      expect(lost).toHaveLength(49);
      expect(lost.every(isSpendConflict)).toBe(true);
      expect((await log.list({ requestId })).events).toHaveLength(1);
    }
  });
});

describe('a spend', () => {
  it('is final: the same credential is refused later, in every process, and its event is not written', async () => {
    const spent = [{ ...buildSpend(uuidv7()), grantId: 'g' }];
    await log.write(buildBatch({ spent }));
    const requestId = uuidv7();
    for (const each of [log, other]) {
      const refused = await each.write(buildBatch({ spent, requestId })).catch((error: unknown) => error);
      expect(isSpendConflict(refused) && refused.cause).toMatchObject({
        kind: 'authorization_code',
        grantId: 'g',
      });
    }
    expect((await log.list({ requestId })).events).toEqual([]);
  });

  it('of a batch that lost by another credential is not written either', async () => {
    const [first, second] = [buildSpend(uuidv7()), buildSpend(uuidv7())];
    await log.write(buildBatch({ spent: [first] }));
    await expect(log.write(buildBatch({ spent: [second, first] }))).rejects.toMatchObject({
      code: 'credential_spent',
    });
    await log.write(buildBatch({ spent: [second] }));
  });

  it('is forgotten once the credential has expired by itself', async () => {
    const expired = { ...buildSpend(uuidv7()), expiresAt: new Date(Date.now() - 1_000) };
    const live = buildSpend(uuidv7());
    await log.write(buildBatch({ spent: [expired, live] }));
    expect(await removeExpiredSpent(test.db, { now: new Date() })).toBe(1);
    await expect(log.write(buildBatch({ spent: [live] }))).rejects.toMatchObject({
      code: 'credential_spent',
    });
  });

  /** As another process leaves it between its flush and the next. */
  const insertUnsettled = (digest: string, ageSeconds: number): Promise<unknown> =>
    test.db.query(
      `insert into spent (digest, kind, spend_id, writer_id, flush, created_at, expires_at)
       values ($1, 'refresh_token', $2, $3, 1, now() - make_interval(secs => $4), now() + interval '1 hour')`,
      [digest, uuidv7(), uuidv7(), ageSeconds],
    );

  it('of a process that does not say whether it delivered is neither granted nor refused: try again', async () => {
    const digest = uuidv7();
    await insertUnsettled(digest, 0);
    const outcome = await log
      .write(buildBatch({ spent: [buildSpend(digest)] }))
      .catch((error: unknown) => error);
    expect(isAuditUnavailable(outcome)).toBe(true);
  });

  it('of a process that crashed long ago is final', async () => {
    const digest = uuidv7();
    await insertUnsettled(digest, 60);
    const outcome = await log
      .write(buildBatch({ spent: [buildSpend(digest)] }))
      .catch((error: unknown) => error);
    expect(isSpendConflict(outcome)).toBe(true);
  });
});

describe('what builds upon something revoked', () => {
  it.each([
    ['grant', (id: string) => ({ grantId: id })],
    ['session', (id: string) => ({ sessionUid: id })],
    ['account', (id: string) => ({ accountId: id })],
  ] as const)('is refused: a %s', async (kind, subject) => {
    const id = uuidv7();
    const batch = (): ReturnType<typeof buildBatch> =>
      buildBatch({ requireLive: [{ ...subject(id), issuedAt: new Date() }], spent: [buildSpend(uuidv7())] });
    await log.write(batch());
    await test.db.transaction((tx) =>
      insertRevocation(tx, { kind, id, expiresAt: inAnHour(), reason: 'test' }),
    );
    const refusedBatch = batch();
    for (const each of [log, other]) {
      const refused = await each.write(refusedBatch).catch((error: unknown) => error);
      expect(isRevokedConflict(refused) && refused.cause).toEqual({ kind, id });
    }
    expect((await log.list({ requestId: refusedBatch.requestId })).events).toEqual([]);
    await log.write(buildBatch({ spent: refusedBatch.spent }));
  });

  it('is refused in the flush that writes the revocation', async () => {
    const grantId = uuidv7();
    const required = { requireLive: [{ grantId, issuedAt: new Date() }] };
    // The first write occupies the writer; the rest gathers for the flush after it.
    const [, revoking, building] = await Promise.allSettled([
      log.write(buildBatch()),
      log.write(
        buildBatch({
          revocations: [{ kind: 'grant', id: grantId, expiresAt: inAnHour(), reason: 'replayed' }],
        }),
      ),
      log.write(buildBatch(required)),
    ]);
    expect(revoking.status).toBe('fulfilled');
    expect(building).toMatchObject({ status: 'rejected', reason: { code: 'revoked' } });
  });

  it('of an account may be issued anew after the revocation', async () => {
    const accountId = uuidv7();
    const before = new Date(Date.now() - 5_000);
    await log.write(
      buildBatch({
        revocations: [
          { kind: 'account', id: accountId, before, expiresAt: inAnHour(), reason: 'password set' },
        ],
      }),
    );
    await log.write(buildBatch({ requireLive: [{ accountId, issuedAt: new Date() }] }));
    await expect(
      log.write(buildBatch({ requireLive: [{ accountId, issuedAt: before }] })),
    ).rejects.toMatchObject({
      code: 'revoked',
    });
  });

  it('is judged for a batch that has nothing to write, too', async () => {
    const sessionUid = uuidv7();
    const asking = { events: [], requireLive: [{ sessionUid, issuedAt: new Date() }] };
    await log.write(buildBatch(asking));
    await log.write(
      buildBatch({
        revocations: [{ kind: 'session', id: sessionUid, expiresAt: inAnHour(), reason: 'signed out' }],
      }),
    );
    await expect(log.write(buildBatch(asking))).rejects.toMatchObject({ code: 'revoked' });
  });

  it('is forgotten once nothing can depend on it any more', async () => {
    const expiresAt = new Date(Date.now() - 1_000);
    await test.db.transaction((tx) =>
      insertRevocation(tx, { kind: 'token', id: 't', expiresAt, reason: 'test' }),
    );
    expect(await removeExpiredRevocations(test.db, { now: new Date() })).toBe(1);
    expect(await removeExpiredRevocations(test.db, { now: new Date() })).toBe(0);
  });
});
