import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { createRevocationList, insertRevocation, type Revocation } from '../../../src/audit/revocations.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { uuidv7 } from '../../../src/platform/ids.ts';
import { buildBatch, openAuditLog } from '../../support/audit.ts';
import { createTestClock } from '../../support/clock.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

let test: TestDatabase;

beforeAll(async () => {
  test = await createTestDatabase();
});
afterAll(() => test.drop());

function buildRevocation(overrides: Partial<Revocation> = {}): Revocation {
  return {
    kind: 'grant',
    id: uuidv7(),
    expiresAt: new Date(Date.now() + 3_600_000),
    reason: 'test',
    ...overrides,
  };
}

const insert = (revocation: Revocation): Promise<void> =>
  test.db.transaction((tx) => insertRevocation(tx, revocation));

async function waitFor(isTrue: () => boolean, withinMs: number): Promise<boolean> {
  const deadline = Date.now() + withinMs;
  while (!isTrue() && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
  return isTrue();
}

describe('the list of revocations', () => {
  it('knows at start what was revoked before', async () => {
    const revocation = buildRevocation();
    await insert(revocation);
    const list = createRevocationList({ db: test.db, clock: systemClock });
    await list.start();
    expect(list.isRevoked({ grantId: revocation.id })).toBe(true);
    expect(list.isRevoked({ grantId: uuidv7(), sessionUid: revocation.id, tokenId: revocation.id })).toBe(
      false,
    );
    expect(list.isRevoked({})).toBe(false);
    await list.stop();
  });

  it('hears within a second what another process revokes, by subjects and by flushes', async () => {
    const list = createRevocationList({ db: test.db, clock: systemClock });
    await list.start();
    const log = openAuditLog(test.db);
    const [bySubject, byFlush] = [buildRevocation({ kind: 'session' }), buildRevocation({ kind: 'token' })];
    await insert(bySubject);
    await log.write(buildBatch({ revocations: [byFlush] }));
    expect(await waitFor(() => list.isRevoked({ sessionUid: bySubject.id }), 1_000)).toBe(true);
    expect(await waitFor(() => list.isRevoked({ tokenId: byFlush.id }), 1_000)).toBe(true);
    await log.close();
    await list.stop();
  });

  it('finds by polling what no notification told', async () => {
    const list = createRevocationList({ db: test.db, clock: systemClock });
    await list.start();
    const id = uuidv7();
    await test.db.query(
      `insert into revocations (id, kind, subject, expires_at, reason)
       values ($1, 'grant', $2, now() + interval '1 hour', 'test')`,
      [uuidv7(), id],
    );
    expect(await waitFor(() => list.isRevoked({ grantId: id }), 2_500)).toBe(true);
    await list.stop();
  });

  it('misses none that commits after one with a later number was seen', async () => {
    const list = createRevocationList({ db: test.db, clock: systemClock });
    await list.refresh();
    const [slow, quick] = [buildRevocation(), buildRevocation()];
    const hasBegun = Promise.withResolvers<void>();
    const mayFinish = Promise.withResolvers<void>();
    const slowly = test.db.transaction(async (tx) => {
      await insertRevocation(tx, slow);
      hasBegun.resolve();
      await mayFinish.promise;
    });
    await hasBegun.promise;
    await insert(quick);
    await list.refresh();
    expect(list.isRevoked({ grantId: quick.id })).toBe(true);
    expect(list.isRevoked({ grantId: slow.id })).toBe(false);
    mayFinish.resolve();
    await slowly;
    await list.refresh();
    expect(list.isRevoked({ grantId: slow.id })).toBe(true);
  });

  it.each([
    ['before it', -1_000, true],
    ['in the same second, after it', 500, true],
    ['in the next second', 1_000, false],
  ])('ends what was issued to an account %s', (_, offsetMs, isRevoked) => {
    const before = new Date('2026-03-01T12:00:00Z');
    const list = createRevocationList({ db: test.db, clock: createTestClock(before) });
    list.add(
      buildRevocation({ kind: 'account', id: 'a', before, expiresAt: new Date('2026-03-02T12:00:00Z') }),
    );
    const issuedAt = new Date(before.getTime() + offsetMs);
    expect(list.isRevoked({ accountId: 'a', issuedAt })).toBe(isRevoked);
    expect(list.isRevoked({ accountId: 'a' })).toBe(true);
    expect(list.isRevoked({ accountId: 'b', issuedAt })).toBe(false);
  });

  it('keeps the strictest of several for one account, in whatever order they come', () => {
    const clock = createTestClock(new Date('2026-03-01T12:00:00Z'));
    const expiresAt = new Date('2026-03-02T12:00:00Z');
    const issuedAt = new Date('2026-03-01T11:00:00Z');
    const list = createRevocationList({ db: test.db, clock });
    const revoke = (before?: Date): void =>
      list.add(buildRevocation({ kind: 'account', id: 'a', before, expiresAt }));
    revoke(new Date('2026-03-01T11:30:00Z'));
    revoke(new Date('2026-03-01T10:30:00Z'));
    expect(list.isRevoked({ accountId: 'a', issuedAt })).toBe(true);
    expect(list.isRevoked({ accountId: 'a', issuedAt: clock.now() })).toBe(false);
    revoke();
    expect(list.isRevoked({ accountId: 'a', issuedAt: clock.now() })).toBe(true);
  });

  it('forgets an entry when nothing that it could end is left', async () => {
    const clock = createTestClock();
    const list = createRevocationList({ db: test.db, clock });
    const revocation = buildRevocation({ expiresAt: new Date(clock.now().getTime() + 10_000) });
    list.add(revocation);
    clock.advanceSeconds(9);
    expect(list.isRevoked({ grantId: revocation.id })).toBe(true);
    clock.advanceSeconds(1);
    expect(list.isRevoked({ grantId: revocation.id })).toBe(false);
  });

  it('learns at once of what its own process revokes', async () => {
    const list = createRevocationList({ db: test.db, clock: systemClock });
    const log = openAuditLog(test.db, { onRevoked: list.add });
    const revocation = buildRevocation();
    await log.write(buildBatch({ revocations: [revocation] }));
    expect(list.isRevoked({ grantId: revocation.id })).toBe(true);
    await log.close();
  });
});
