import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';

import type { Account } from '../../../src/accounts/account.ts';
import { signInTime } from '../../../src/accounts/sign-in-time.ts';
import { awaitLoginRow } from '../../../src/accounts/store.ts';
import { findEnd, insertRevocation } from '../../../src/audit/revocations.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import type { Queryable } from '../../../src/platform/database.ts';
import { createSignOutService } from '../../../src/sign-out/service.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { buildAccount, TEST_OPERATOR } from '../../support/factories/account.ts';
import { startWhile } from '../../support/locks.ts';
import { startOfSecond } from '../../support/seconds.ts';

let database: TestDatabase;
let account: Account;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  account = await buildAccount({ db: database.db });
});

function endSessions(before: Date, db: Queryable = database.db): Promise<void> {
  return insertRevocation(db, {
    kind: 'account_sessions',
    id: account.sub,
    before,
    expiresAt: new Date(before.getTime() + 60_000),
    reason: 'signed out everywhere',
  });
}

function timeOf(startedAt: Date): Promise<number> {
  return signInTime({ db: database.db, clock: systemClock }, { account, startedAt });
}

const after = (at: Date, ms: number): Date => new Date(at.getTime() + ms);
const secondOf = (at: Date): number => Math.floor(at.getTime() / 1000);

it.each([
  ['nothing was ended', undefined],
  ['all was ended in an earlier second', -1_000],
  ['all was ended while it was under way', 200],
  ['all was ended in a second to come', 3_000],
])('is that of its beginning where %s', async (_case, endedMs) => {
  const startedAt = new Date(Math.floor(Date.now() / 1000) * 1000 + 500);
  if (endedMs !== undefined) await endSessions(after(startedAt, endedMs));
  expect(await timeOf(startedAt)).toBe(secondOf(startedAt));
});

it('is the next second, and waits for it, where all was ended in the same one before it began', async () => {
  await startOfSecond();
  const endedAt = new Date();
  await endSessions(endedAt);
  expect(await timeOf(after(endedAt, 1))).toBe(secondOf(endedAt) + 1);
  expect(secondOf(new Date())).toBeGreaterThan(secondOf(endedAt));
});

it('does not outlive what is ended while it waits', async () => {
  await startOfSecond();
  const endedAt = new Date();
  await endSessions(endedAt);
  const startedAt = after(endedAt, 1);
  const time = timeOf(startedAt);
  await endSessions(after(startedAt, 1));
  expect(await time).toBe(secondOf(startedAt));
});

it('waits for a change of the account that is under way when the second is over', async () => {
  await startOfSecond();
  const endedAt = new Date();
  await endSessions(endedAt);
  const startedAt = after(endedAt, 1);
  const outcome = await startWhile(
    database.db,
    async (tx) => {
      await tx.query('select 1 from accounts where id = $1 for update', [account.id]);
      await endSessions(after(startedAt, 1), tx);
    },
    () => timeOf(startedAt),
  );
  expect(outcome).toEqual({ status: 'fulfilled', value: secondOf(startedAt) });
});

it('holds against a sign-out everywhere, which takes its time when no sign-in looks at the account', async () => {
  const signOut = createSignOutService({
    db: database.db,
    clock: systemClock,
    findClient: async () => undefined,
    endsOfflineGrants: false,
    sessionSeconds: 60,
    longestGrantSeconds: 60,
  });
  let lookedAt = new Date(0);
  const outcome = await startWhile(
    database.db,
    async (tx) => {
      await awaitLoginRow(tx, account.id);
      lookedAt = new Date();
    },
    () => signOut.everywhere(account, TEST_OPERATOR),
  );
  expect(outcome.status).toBe('fulfilled');
  const endedAt = await findEnd(database.db, account.sub, ['account_sessions']);
  expect(endedAt?.getTime()).toBeGreaterThan(lookedAt.getTime());
});
