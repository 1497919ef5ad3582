/** The quick version of test/long/races/codes-and-tokens.test.ts. */
import { describeCodesAndTokens } from '../../support/races/codes-and-tokens.ts';

describeCodesAndTokens({ concurrent: 50, rounds: 4 });
