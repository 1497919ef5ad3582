import type { Queryable } from '../platform/database.ts';

/** Tokens of one kind that a key signed and that had not expired. */
export interface EndedTokens {
  kind: string;
  count: number;
  /** When the last of them would have expired. */
  latestExpiry: Date;
}

/**
 * What is verified with that key and would still be good, as the audit log has it.
 *
 * @param longestTokenSeconds what was issued longer ago has expired
 */
export async function tokensSignedBy(
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
