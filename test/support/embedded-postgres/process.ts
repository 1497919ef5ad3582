/**
 * A process of its own that uses the embedded PostgreSQL, as a server or a command would: `node process.ts <options>`
 * (JSON). Says what happens in lines of JSON; SIGTERM makes it stop properly.
 */
import { startEmbeddedPostgres } from '../../../src/platform/embedded-postgres.ts';

const say = (message: object): void => {
  process.stdout.write(`${JSON.stringify(message)}\n`);
};

try {
  const started = performance.now();
  const embedded = await startEmbeddedPostgres({
    ...(JSON.parse(process.argv[2] ?? '{}') as { dataDir: string }),
    onProgress: (message) => say({ kind: 'progress', message }),
    onLost: () => say({ kind: 'lost' }),
  });
  const keepAlive = setInterval(() => {}, 60_000);
  process.on('SIGTERM', () => {
    clearInterval(keepAlive);
    void embedded.stop().then(() => say({ kind: 'stopped' }));
  });
  say({
    kind: 'ready',
    connection: embedded.connection,
    owned: embedded.owned,
    tookMs: performance.now() - started,
    uid: process.getuid?.(),
  });
} catch (error) {
  const { code, message } = error as { code?: string; message: string };
  say({ kind: 'failed', code, message });
}
