/** The quick version of test/long/races/find-then-set.test.ts. */
import { describeFindThenSet } from '../../support/races/find-then-set.ts';

describeFindThenSet({ concurrent: 50, rounds: 1 });
