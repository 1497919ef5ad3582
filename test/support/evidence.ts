/** Holds what clients received against what PostgreSQL has recorded. */
import { systemClock } from '../../src/platform/clock.ts';
import { createAuditLog } from '../../src/audit/log.ts';
import { createDatabase } from '../../src/platform/database.ts';
import { digest } from '../../src/platform/ids.ts';
import { createSealer, sealingKeyFrom } from '../../src/platform/seal.ts';
import type { Load } from './load.ts';

export interface Evidence {
  /** Tokens that a client holds and no record names under the answer's request id. */
  unrecorded: string[];
  /** Codes and refresh tokens for which clients hold two different answers. */
  ambiguous: string[];
  /** Codes that were refused although no first redemption was recorded. */
  wronglyRefused: string[];
  /** Issuances by code or refresh token, those withheld taken off; and credentials that count as spent for them. */
  issued: number;
  spent: number;
  chain: 'whole' | 'broken';
  records: number;
}

interface IssuedRow {
  request_id: string;
  type: string;
  payload: { issued?: { fingerprint: string }[]; grant_type?: string; events?: string[] };
  id: string;
}

/** @param secretKey the deployment's */
export async function gatherEvidence(
  load: Load,
  { connectionString, secretKey }: { connectionString: string; secretKey: string },
): Promise<Evidence> {
  const db = createDatabase({ connection: { connectionString }, maxConnections: 2 });
  const fingerprintKey = createSealer([sealingKeyFrom(secretKey)]).deriveKey('audit-fingerprint');
  const audit = createAuditLog({ db, clock: systemClock, fingerprintKey });
  try {
    const { rows } = await db.query<IssuedRow>(
      `select id, request_id, type, payload from audit_events
        where type in ('token.issued', 'token.retried', 'token.withheld')`,
    );
    const withheld = new Set(
      rows.filter(({ type }) => type === 'token.withheld').flatMap(({ payload }) => payload.events ?? []),
    );
    const requestsOf = new Map<string, Set<string>>();
    const retries = new Set<string>();
    for (const { request_id: requestId, type, payload } of rows) {
      if (type === 'token.retried') retries.add(requestId);
      for (const { fingerprint } of payload.issued ?? []) {
        requestsOf.set(fingerprint, (requestsOf.get(fingerprint) ?? new Set()).add(requestId));
      }
    }
    const { rows: spent } = await db.query<{ digest: string; kind: string }>(
      `select digest, kind from spent where kind in ('AuthorizationCode', 'RefreshToken')`,
    );
    const spentDigests = new Set(spent.map((row) => row.digest));
    const { isWhole } = await audit.verify();
    return {
      unrecorded: load.received
        .filter(({ value, requestId }) => {
          const requests = requestsOf.get(audit.fingerprint(value));
          return !requests || !(requests.has(requestId) || retries.has(requestId));
        })
        .map(({ operation, requestId }) => `${operation} ${requestId}`),
      ambiguous: ambiguousAnswers(load),
      wronglyRefused: load.refusedCodes.filter(
        (code) => !spentDigests.has(digest('AuthorizationCode', code)),
      ),
      issued: rows.filter(
        ({ id, type, payload }) =>
          type === 'token.issued' && payload.grant_type !== 'client_credentials' && !withheld.has(id),
      ).length,
      spent: spent.length,
      chain: isWhole ? 'whole' : 'broken',
      records: rows.length,
    };
  } finally {
    await audit.close();
    await db.close();
  }
}

function ambiguousAnswers({ received }: Load): string[] {
  const answers = new Map<string, Set<string>>();
  for (const { spent, value } of received) {
    if (spent === undefined || !value.startsWith('at_')) continue;
    answers.set(spent, (answers.get(spent) ?? new Set()).add(value));
  }
  return [...answers].filter(([, tokens]) => tokens.size > 1).map(([credential]) => credential);
}
