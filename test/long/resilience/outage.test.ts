import { describe, it } from '@jest/globals';

import { liveThrough } from '../../support/outage.ts';

/** The long version, of half a minute each and in all combinations, is test/long/outage.test.ts. */
describe('while a part of the deployment is away', () => {
  it(
    'nothing leaves without a record, and afterwards every retry succeeds: PostgreSQL crashes',
    () => liveThrough({ store: 'postgres', part: 'postgres', outage: 'crashed', awayMs: 4_000 }),
    120_000,
  );

  it(
    'the same: PostgreSQL falls silent, sessions in Redis',
    () => liveThrough({ store: 'redis', part: 'postgres', outage: 'frozen', awayMs: 5_000 }),
    120_000,
  );
});
