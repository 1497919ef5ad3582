/** The quick version of test/long/races/proofs.test.ts. */
import { describeProofs } from '../../support/races/proofs.ts';

describeProofs({ concurrent: 50, rounds: 4 });
