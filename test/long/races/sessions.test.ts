import { describeSessions } from '../../support/races/sessions.ts';

describeSessions({ rounds: 20 });
