/** The quick version of test/long/races/exchanges.test.ts. */
import { WITH_TWO_PROCESSES } from '../../support/races/deployment.ts';
import { describeExchanges } from '../../support/races/exchanges.ts';

describeExchanges({ rounds: 2 }, WITH_TWO_PROCESSES);
