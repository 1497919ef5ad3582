import { appendInTransaction } from '../audit/append.ts';
import type { Actor } from '../audit/events.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database, Queryable } from '../platform/database.ts';

/** The log of weeks is read for it: longer than a statement may otherwise take. */
const COUNT_WITHIN_MS = 15 * 60 * 1_000;

/** Tokens of one kind that a key signed and that had not expired. */
export interface EndedTokens {
  kind: string;
  count: number;
  /** When the last of them would have expired. */
  latestExpiry: Date;
}

/** Counts what ended with a key that has been withdrawn, and records it. */
export async function recordEndedTokens(
  { db, clock, longestTokenSeconds }: { db: Database; clock: Clock; longestTokenSeconds: number },
  { kid, alg }: { kid: string; alg: string },
  by: Actor,
): Promise<EndedTokens[]> {
  return db.transaction(async (tx) => {
    await tx.query(`set local statement_timeout = ${COUNT_WITHIN_MS}`);
    const ended = await tokensSignedBy(tx, { kid, now: clock.now(), longestTokenSeconds });
    const payload = { kid, alg, ended: ended.map(toRecord) };
    await appendInTransaction(
      tx,
      { type: 'key.tokens_ended', outcome: 'success', actor: by, payload },
      { clock },
    );
    return ended;
  });
}

/**
 * What is verified with that key and would still be good, as the audit log has it.
 *
 * @param longestTokenSeconds what was issued longer ago has expired
 */
async function tokensSignedBy(
  db: Queryable,
  { kid, now, longestTokenSeconds }: { kid: string; now: Date; longestTokenSeconds: number },
): Promise<EndedTokens[]> {
  const { rows } = await db.query<{ kind: string; count: number; latest_expiry: Date }>(
    `select token ->> 'kind' as kind, count(*)::int as count,
            max((token ->> 'expires_at')::timestamptz) as latest_expiry
       from audit_events, jsonb_array_elements(payload -> 'issued') as token
      where type = 'token.issued' and at > $2 and token ->> 'kid' = $1
        and (token ->> 'expires_at')::timestamptz > $3
      group by token ->> 'kind' order by token ->> 'kind'`,
    [kid, new Date(now.getTime() - longestTokenSeconds * 1000), now],
  );
  return rows.map((row) => ({ kind: row.kind, count: row.count, latestExpiry: row.latest_expiry }));
}

function toRecord({ kind, count, latestExpiry }: EndedTokens): {
  kind: string;
  count: number;
  latest_expiry: string;
} {
  return { kind, count, latest_expiry: latestExpiry.toISOString() };
}
