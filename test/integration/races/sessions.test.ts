/** The quick version of test/long/races/sessions.test.ts. */
import { describeSessions } from '../../support/races/sessions.ts';

describeSessions({ rounds: 1 });
