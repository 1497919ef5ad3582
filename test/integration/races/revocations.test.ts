/** The quick version of test/long/races/revocations.test.ts. */
import { WITH_TWO_PROCESSES } from '../../support/races/deployment.ts';
import { describeRevocations } from '../../support/races/revocations.ts';

describeRevocations({ rounds: 2 }, WITH_TWO_PROCESSES);
