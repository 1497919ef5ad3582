import { describe, it } from '@jest/globals';

import type { StoreKind } from '../../support/gatehouse.ts';
import { liveThroughKills } from '../../support/kill-storm.ts';

/** The long version is test/long/kill-storm.test.ts. */
describe.each<StoreKind>(['redis', 'postgres'])('a server that is killed, sessions in %s', (store) => {
  it(
    'has recorded every token that anybody holds, and gives nothing twice',
    () => liveThroughKills({ store, kills: 3 }),
    180_000,
  );
});
