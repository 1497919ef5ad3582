/** The quick version of test/long/races/sessions.test.ts. */
import { WITH_TWO_PROCESSES } from '../../support/races/deployment.ts';
import { describeSessions } from '../../support/races/sessions.ts';

describeSessions({ rounds: 1 }, WITH_TWO_PROCESSES);
