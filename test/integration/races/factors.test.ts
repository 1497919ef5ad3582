/** The quick version of test/long/races/factors.test.ts. */
import { describeFactors } from '../../support/races/factors.ts';

describeFactors({ concurrent: 20, rounds: 4 }, [
  { store: 'redis', processes: 2 },
  { store: 'postgres', processes: 1 },
]);
