import path from 'node:path';

import { createFileSink, createLogSink, emitCheckpoint } from '../audit/checkpoints.ts';
import { removeExpiredRevocations } from '../audit/revocations.ts';
import { removeExpiredSpent } from '../audit/spent.ts';
import type { RegistrationService } from '../clients/registration/service.ts';
import type { ClientUse } from '../clients/registration/use.ts';
import type { KeyService } from '../keys/service.ts';
import { removeExpired } from '../oidc/store/expired-rows.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import type { Logger } from '../platform/logger.ts';
import { pruneRateLimits } from '../platform/rate-limit.ts';
import type { Sealer } from '../platform/seal.ts';
import { unlessUnderWay } from '../platform/turn.ts';
import type { Job } from './scheduler.ts';

export interface JobsOptions {
  db: Database;
  sealer: Sealer;
  clock: Clock;
  logger: Logger;
  dataDir: string;
  keys: Pick<KeyService, 'rotateDue'>;
  approvals: { removeOld: (limit: number) => Promise<number> };
  clientUse: Pick<ClientUse, 'save'>;
  registration: Pick<RegistrationService, 'removeUnused'>;
  /** 0: never. */
  removeClientsUnusedSeconds: number;
  checkpoints: { sink: 'log' | 'file' | 'none'; intervalSeconds: number };
}

const BATCH_ROWS = 1_000;
/** A run leaves the rest to the next one, so that a backlog never holds the database for long. */
const MAX_BATCHES = 50;

/** What no other process can do: it is about what this one has in memory. */
export function jobsOfEachProcess({ clientUse }: Pick<JobsOptions, 'clientUse'>): Job[] {
  return [{ name: 'note which clients are used', intervalSeconds: 60, run: clientUse.save }];
}

/** What one process does for all: of several on one machine the first (workers/). */
export function jobsForAll({
  db,
  sealer,
  clock,
  logger,
  dataDir,
  keys,
  approvals,
  clientUse,
  registration,
  removeClientsUnusedSeconds,
  checkpoints,
}: JobsOptions): Job[] {
  const jobs: Job[] = [
    {
      name: 'remove expired sessions and tokens',
      intervalSeconds: 60,
      run: async () => {
        await removeExpired({ db, clock, batchSize: BATCH_ROWS, maxBatches: MAX_BATCHES });
      },
    },
    {
      name: 'remove expired marks of spending',
      intervalSeconds: 120,
      run: () => inBatches(() => removeExpiredSpent(db, { now: clock.now(), limit: BATCH_ROWS })),
    },
    {
      name: 'remove expired revocations',
      intervalSeconds: 300,
      run: () => inBatches(() => removeExpiredRevocations(db, { now: clock.now(), limit: BATCH_ROWS })),
    },
    {
      name: 'remove old requests to people',
      intervalSeconds: 300,
      run: () => inBatches(() => approvals.removeOld(BATCH_ROWS)),
    },
    {
      name: 'remove lapsed counters of failures',
      intervalSeconds: 300,
      run: () => inBatches(() => pruneRateLimits(db, { batchSize: BATCH_ROWS })),
    },
    {
      name: 'make the next keys',
      intervalSeconds: 60,
      run: async () => {
        await unlessUnderWay(db, 'make the next keys', keys.rotateDue);
      },
    },
  ];
  if (removeClientsUnusedSeconds > 0) {
    jobs.push({
      name: 'remove unused clients',
      intervalSeconds: 3_600,
      run: async () => {
        await unlessUnderWay(db, 'remove unused clients', async () => {
          await clientUse.save();
          await registration.removeUnused(removeClientsUnusedSeconds);
        });
      },
    });
  }
  if (checkpoints.sink !== 'none') {
    const sink =
      checkpoints.sink === 'file'
        ? createFileSink(path.join(dataDir, 'audit-checkpoints.jsonl'))
        : createLogSink(logger);
    const key = sealer.deriveKey('audit-checkpoint');
    jobs.push({
      name: 'emit a checkpoint of the audit log',
      intervalSeconds: checkpoints.intervalSeconds,
      run: async () => {
        await emitCheckpoint({ db, clock, key, sink });
      },
    });
  }
  return jobs;
}

async function inBatches(removeBatch: () => Promise<number>): Promise<void> {
  for (let batch = 0; batch < MAX_BATCHES; batch += 1) {
    if ((await removeBatch()) < BATCH_ROWS) return;
  }
}
