/** The quick version of test/long/races/revocations.test.ts. */
import { describeRevocations } from '../../support/races/revocations.ts';

describeRevocations({ rounds: 2 }, [
  { store: 'redis', processes: 2 },
  { store: 'postgres', processes: 2 },
]);
