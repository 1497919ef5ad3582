import { describe, it } from '@jest/globals';

import type { StoreKind } from '../support/gatehouse.ts';
import { liveThroughKills } from '../support/kill-storm.ts';

const KILLS = 50;

describe.each<StoreKind>(['redis', 'postgres'])(
  'a server that is killed under load, sessions in %s',
  (store) => {
    it(
      `keeps every promise through ${KILLS} kills`,
      () => liveThroughKills({ store, kills: KILLS }),
      900_000,
    );
  },
);
