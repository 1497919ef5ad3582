import { describe, it } from '@jest/globals';

import { liveThroughKills } from '../../support/kill-storm.ts';

/** The long version, on both stores, is test/long/kill-storm.test.ts. */
describe('a server that is killed under load', () => {
  it(
    'has recorded every token that anybody holds, and gives nothing twice',
    () => liveThroughKills({ store: 'redis', kills: 3 }),
    180_000,
  );
});
