import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import type { TestServer } from './gatehouse.ts';
import { startGatehouseProcess } from './gatehouse-process.ts';
import { freePort } from './ports.ts';

export interface SecondProcess {
  /** Where it listens. Its issuer is the first server's, so it serves the same deployment. */
  issuer: string;
  stop: () => Promise<void>;
}

/** A second server, in a process of its own, on the database and the Redis of the first. */
export async function startSecondProcess(first: TestServer): Promise<SecondProcess> {
  const port = await freePort();
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'gh-test-second-'));
  const started = await startGatehouseProcess({
    ...first.env,
    PORT: String(port),
    GATEHOUSE_ISSUER: first.issuer,
    GATEHOUSE_DATA_DIR: dataDir,
    GATEHOUSE_LOG_LEVEL: 'info',
    GATEHOUSE_LOG_FORMAT: 'json',
  });
  return {
    issuer: `http://localhost:${port}`,
    stop: async () => {
      await started.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
