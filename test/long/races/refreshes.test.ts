import { describeRefreshes } from '../../support/races/refreshes.ts';

describeRefreshes({ rounds: 20 });
