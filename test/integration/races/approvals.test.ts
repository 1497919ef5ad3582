/** The quick version of test/long/races/approvals.test.ts. */
import { describeApprovals } from '../../support/races/approvals.ts';
import { WITH_TWO_PROCESSES } from '../../support/races/deployment.ts';

describeApprovals({ concurrent: 50, rounds: 4 }, WITH_TWO_PROCESSES);
