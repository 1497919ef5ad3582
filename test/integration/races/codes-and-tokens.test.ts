/** The quick version of test/long/races/codes-and-tokens.test.ts. */
import { describeCodesAndTokens } from '../../support/races/codes-and-tokens.ts';
import { WITH_TWO_PROCESSES } from '../../support/races/deployment.ts';

describeCodesAndTokens({ concurrent: 50, rounds: 4 }, WITH_TWO_PROCESSES);
