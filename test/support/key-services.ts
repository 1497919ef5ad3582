import { afterEach, beforeEach } from '@jest/globals';
import type { JWK } from 'jose';

import type { Actor } from '../../src/audit/events.ts';
import { createKeyService, type KeyService } from '../../src/keys/service.ts';
import { createSealer, sealingKeyFrom } from '../../src/platform/seal.ts';
import { createTestClock } from './clock.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';

export const BY: Actor = { kind: 'operator', name: 'ann' };
export const SECRET = 'a secret key of the tests, long enough';
export const PUBLISH = 3_600;
export const LONGEST = 600;
export const SLACK = 60;
export const sealer = createSealer([sealingKeyFrom(SECRET)]);

type Overrides = Partial<
  Pick<
    Parameters<typeof createKeyService>[0],
    'db' | 'sealer' | 'pollIntervalMs' | 'rotateAfterSeconds' | 'algorithms' | 'onError'
  >
>;

export interface KeyServices {
  readonly database: TestDatabase;
  readonly clock: ReturnType<typeof createTestClock>;
  build: (overrides?: Overrides) => KeyService;
  /** With its keys made and loaded. */
  started: (overrides?: Overrides) => Promise<KeyService>;
}

/** For each test a database and a clock of its own, and services on them that are stopped after it. */
export function useKeyServices(): KeyServices {
  const services: KeyService[] = [];
  let database: TestDatabase;
  let clock: ReturnType<typeof createTestClock>;

  beforeEach(async () => {
    database = await createTestDatabase();
    clock = createTestClock(new Date('2026-06-01T12:00:00Z'));
  });
  afterEach(async () => {
    for (const service of services.splice(0)) await service.stop();
    await database.drop();
  });

  const build = (overrides: Overrides = {}): KeyService => {
    const service = createKeyService({
      db: database.db,
      clock,
      sealer,
      publishBeforeSigningSeconds: PUBLISH,
      longestTokenSeconds: LONGEST,
      pollIntervalMs: 100,
      ...overrides,
    });
    services.push(service);
    return service;
  };
  return {
    get database() {
      return database;
    },
    get clock() {
      return clock;
    },
    build,
    started: async (overrides) => {
      const service = build(overrides);
      await service.ensureKeys();
      await service.start();
      return service;
    },
  };
}

export function kidsOf(keys: readonly JWK[]): string[] {
  return keys.map(({ kid }) => kid!);
}
