import type { Batch } from '../../src/audit/batch.ts';
import { createAuditLog, type AuditLog, type AuditLogOptions } from '../../src/audit/log.ts';
import { systemClock } from '../../src/platform/clock.ts';
import type { Database } from '../../src/platform/database.ts';
import { randomToken, uuidv7 } from '../../src/platform/ids.ts';

export function openAuditLog(db: Database, options: Partial<AuditLogOptions> = {}): AuditLog {
  return createAuditLog({ db, clock: systemClock, fingerprintKey: Buffer.alloc(32, 7), ...options });
}

/** What a machine's token request would gather. */
export function buildBatch(overrides: Partial<Batch> = {}): Batch {
  return {
    events: [
      {
        type: 'token.issued',
        outcome: 'success',
        clientId: 'machine',
        payload: {
          grant_type: 'client_credentials',
          issued: [{ kind: 'access_token', fingerprint: randomToken(8) }],
        },
      },
    ],
    spent: [],
    revocations: [],
    requireLive: [],
    requestId: uuidv7(),
    ...overrides,
  };
}

export function buildSpend(digest: string): Batch['spent'][number] {
  return { kind: 'authorization_code', digest, expiresAt: new Date(Date.now() + 60_000) };
}
