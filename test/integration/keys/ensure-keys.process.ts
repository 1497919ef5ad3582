/** A process of its own that makes sure of the keys and prints those it would use. */
import { createKeyService } from '../../../src/keys/service.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createDatabase } from '../../../src/platform/database.ts';
import { createSealer, sealingKeyFrom } from '../../../src/platform/seal.ts';

const [connectionString = '', secret = ''] = process.argv.slice(2);
const db = createDatabase({ connection: { connectionString }, maxConnections: 3 });
const keys = createKeyService({
  db,
  clock: systemClock,
  sealer: createSealer([sealingKeyFrom(secret)]),
  publishBeforeSigningSeconds: 3_600,
  longestTokenSeconds: 600,
});
await keys.ensureKeys();
await keys.start();
process.stdout.write(
  JSON.stringify({ kids: keys.keyset().signing.map(({ kid }) => kid), cookieKeys: keys.cookieKeys() }),
);
await keys.stop();
await db.close();
