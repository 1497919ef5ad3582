/** The quick version of test/long/races/factors.test.ts. */
import { WITH_TWO_PROCESSES } from '../../support/races/deployment.ts';
import { describeFactors } from '../../support/races/factors.ts';

describeFactors({ concurrent: 20, rounds: 4 }, WITH_TWO_PROCESSES);
