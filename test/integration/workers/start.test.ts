import path from 'node:path';

import { expect, it } from '@jest/globals';

import { createLogger } from '../../../src/platform/logger.ts';
import { createWorkers } from '../../../src/workers/primary.ts';
import { eventually } from '../../support/eventually.ts';

it('a worker that ends while the others start is replaced like any other', async () => {
  const logger = createLogger({ level: 'fatal', format: 'json' });
  const started: unknown[] = [];
  const workers = createWorkers({
    count: 2,
    launch: { script: path.join(import.meta.dirname, 'fleeting.process.ts'), args: [] },
    canShareAddress: true,
    logger: Object.assign(Object.create(logger) as typeof logger, {
      info: ({ worker }: { worker: unknown }) => started.push(worker),
    }),
  });
  try {
    await workers.start();
    await eventually(async () => expect(started).toEqual([1, 2, 1]));
  } finally {
    // Also of one that has only begun to start.
    expect(await workers.stop(5)).toBe(true);
  }
}, 30_000);
