/** The quick version of test/long/races/refreshes.test.ts. */
import { WITH_TWO_PROCESSES } from '../../support/races/deployment.ts';
import { describeRefreshes } from '../../support/races/refreshes.ts';

describeRefreshes({ rounds: 1 }, WITH_TWO_PROCESSES);
