/** A worker that serves nothing. The first is ready at once, and ends while the second still starts. */
import { setTimeout as delay } from 'node:timers/promises';

import { askForAssignment, tellReady } from '../../../src/workers/worker.ts';

process.on('SIGTERM', () => process.exit(0));
const { number, first } = await askForAssignment();
if (number === 2) await delay(1_000);
tellReady({
  url: 'http://localhost',
  address: { address: '127.0.0.1', port: 0 },
  firstAdministrator: undefined,
  demo: [],
});
if (number === 1 && first === undefined) {
  await delay(100);
  process.exit(1);
}
