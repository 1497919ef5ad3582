import { describe, it } from '@jest/globals';

import { liveThrough, type Outage } from '../support/outage.ts';
import type { StoreKind } from '../support/gatehouse.ts';

/** Longer than any timeout, retry or circuit of ours. */
const AWAY_MS = 30_000;

describe('half a minute without PostgreSQL in the middle of a load', () => {
  it.each<{ store: StoreKind; outage: Outage }>([
    { store: 'redis', outage: 'frozen' },
    { store: 'redis', outage: 'crashed' },
    { store: 'postgres', outage: 'frozen' },
    { store: 'postgres', outage: 'crashed' },
  ])(
    'delivers no token without a record and loses nobody: $outage, sessions in $store',
    ({ store, outage }) => liveThrough({ store, part: 'postgres', outage, awayMs: AWAY_MS, clients: 4 }),
    240_000,
  );
});

describe('half a minute without Redis in the middle of a load', () => {
  it.each<{ outage: Outage }>([{ outage: 'frozen' }, { outage: 'stopped' }])(
    'refuses for a while and loses nobody: $outage',
    ({ outage }) => liveThrough({ store: 'redis', part: 'redis', outage, awayMs: AWAY_MS, clients: 4 }),
    240_000,
  );
});
