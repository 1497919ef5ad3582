import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { isDatabaseUnavailable } from '../../../src/platform/database.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

let test: TestDatabase;

beforeAll(async () => {
  test = await createTestDatabase();
});
afterAll(() => test.drop());

describe('a connection that breaks', () => {
  it('between two statements of a transaction fails that transaction, and nothing else', async () => {
    const broken = test.db.transaction(async (tx) => {
      const { rows } = await tx.query<{ pid: number }>('select pg_backend_pid() as pid');
      await test.db.query('select pg_terminate_backend($1, 5000)', [rows[0]?.pid]);
      // Long enough for the end of the connection to be noticed while nothing is asked on it.
      await new Promise((resolve) => setTimeout(resolve, 200));
      await tx.query('select 1');
    });
    expect(isDatabaseUnavailable(await broken.catch((error: unknown) => error))).toBe(true);
    const { rows } = await test.db.transaction((tx) => tx.query<{ one: number }>('select 1 as one'));
    expect(rows).toEqual([{ one: 1 }]);
  });

  it('while a statement runs fails that statement as unavailable', async () => {
    const running = test.db.query('select pg_sleep(20), $1::text as mark', ['to be ended']);
    const ended = running.catch((error: unknown) => error);
    let isEnded = false;
    const deadline = Date.now() + 10_000;
    while (!isEnded && Date.now() < deadline) {
      const { rows } = await test.db.query<{ is_ended: boolean }>(
        `select pg_terminate_backend(pid) as is_ended from pg_stat_activity
          where datname = $1 and query like 'select pg_sleep%'`,
        [test.name],
      );
      isEnded = rows[0]?.is_ended ?? false;
    }
    expect(isDatabaseUnavailable(await ended)).toBe(true);
  });
});
