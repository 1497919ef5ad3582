import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { removeExpired } from '../../../src/oidc/store/expired-rows.ts';
import { TOMBSTONE_SECONDS } from '../../../src/oidc/store/port.ts';
import { createPostgresStore } from '../../../src/oidc/store/postgres-store.ts';
import { createSealer, sealingKeyFrom } from '../../../src/platform/seal.ts';
import { createTestClock } from '../../support/clock.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

const sealer = createSealer([sealingKeyFrom('a secret of more than thirty-two characters')]);
const clock = createTestClock();

describe('removing expired rows', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());
  beforeEach(async () => {
    await database.db.query(
      'truncate oidc_payloads, oidc_sessions, oidc_session_authorizations, oidc_marks, oidc_answers, oidc_polls',
    );
  });

  const count = async (table: string): Promise<number> => {
    const { rows } = await database.db.query<{ n: number }>(`select count(*)::int as n from oidc_${table}`);
    return rows[0]!.n;
  };
  const countAll = (): Promise<number[]> =>
    Promise.all(['payloads', 'sessions', 'session_authorizations', 'marks', 'answers'].map(count));

  async function fill(ttlSeconds: number, tokens = 1): Promise<void> {
    const store = createPostgresStore({ db: database.db, clock, sealer });
    const name = `${ttlSeconds}`;
    for (let n = 0; n < tokens; n += 1) await store.upsert('AccessToken', `${name}-${n}`, {}, ttlSeconds);
    const session = { uid: name, authorizations: { app: { sid: 's' } } };
    await store.saveSession(name, session, ttlSeconds);
    await store.markOnce(name, 'a', ttlSeconds);
    await store.putAnswer(name, 'v1.sealed', ttlSeconds);
  }

  it('takes what has expired from every table and leaves the rest', async () => {
    await fill(60);
    await fill(120);
    await createPostgresStore({ db: database.db, clock, sealer }).upsert('Grant', 'for ever', {}, undefined);
    clock.advanceSeconds(60);
    expect(await removeExpired({ db: database.db, clock })).toEqual({ removed: 5, isDone: true });
    expect(await countAll()).toEqual([3, 1, 1, 1, 1]);
    clock.advanceSeconds(60);
    await removeExpired({ db: database.db, clock });
    expect(await countAll()).toEqual([1, 0, 0, 0, 0]);
  });

  it('works in batches, as many as it was allowed, and says whether there may be more', async () => {
    await fill(60, 25);
    clock.advanceSeconds(60);
    const limits = { batchSize: 10, maxBatches: 2 };
    expect(await removeExpired({ db: database.db, clock, ...limits })).toEqual({
      removed: 23,
      isDone: false,
    });
    expect(await count('payloads')).toBe(6);
    expect(await removeExpired({ db: database.db, clock, ...limits })).toEqual({ removed: 6, isDone: true });
  });

  it('does not wait for rows that somebody holds', async () => {
    await fill(60, 3);
    clock.advanceSeconds(60);
    await database.db.transaction(async (tx) => {
      await tx.query(`select 1 from oidc_payloads where model = 'AccessToken' for update`);
      expect(await removeExpired({ db: database.db, clock })).toMatchObject({ removed: 4 });
    });
    expect(await removeExpired({ db: database.db, clock })).toMatchObject({ removed: 3 });
  });

  it('runs in several processes at once without a row counted twice', async () => {
    await fill(60, 50);
    clock.advanceSeconds(60);
    const runs = await Promise.all(
      [1, 2, 3].map(() => removeExpired({ db: database.db, clock, batchSize: 7 })),
    );
    expect(runs.reduce((sum, { removed }) => sum + removed, 0)).toBe(54);
  });

  it('takes tombstones once no request can be under way that had read what they stand for', async () => {
    const store = createPostgresStore({ db: database.db, clock, sealer });
    await store.upsert('Grant', 'g', {}, 10 * TOMBSTONE_SECONDS);
    await store.destroy('Grant', 'g');
    clock.advanceSeconds(TOMBSTONE_SECONDS - 1);
    expect(await removeExpired({ db: database.db, clock })).toMatchObject({ removed: 0 });
    clock.advanceSeconds(1);
    expect(await removeExpired({ db: database.db, clock })).toMatchObject({ removed: 1 });
  });

  it('has only tables that survive a crash, but for how often somebody asked', async () => {
    const { rows } = await database.db.query<{ relname: string; relpersistence: string }>(
      `select relname, relpersistence from pg_class where relname like 'oidc\\_%' and relkind = 'r'`,
    );
    expect(rows.length).toBeGreaterThanOrEqual(5);
    expect(rows.filter(({ relpersistence }) => relpersistence !== 'p').map(({ relname }) => relname)).toEqual(
      ['oidc_polls'],
    );
  });
});
