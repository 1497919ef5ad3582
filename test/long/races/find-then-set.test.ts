import { describeFindThenSet } from '../../support/races/find-then-set.ts';

describeFindThenSet({ concurrent: 50, rounds: 5 });
