/** The quick version of test/long/races/proofs.test.ts. */
import { WITH_TWO_PROCESSES } from '../../support/races/deployment.ts';
import { describeProofs } from '../../support/races/proofs.ts';

describeProofs({ concurrent: 50, rounds: 4 }, WITH_TWO_PROCESSES);
