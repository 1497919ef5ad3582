import type { Queryable } from '../../platform/database.ts';
import { POLL_LENIENCY_MS, type Polling } from './port.ts';

/** One statement: whoever asks at the same moment waits for the row, and then sees what the other left. */
export async function countPoll(
  db: Queryable,
  poll: { keyDigest: string; now: Date; intervalMs: number; stepMs: number; expiresAt: Date },
): Promise<Polling> {
  const { rows } = await db.query<{ is_early: boolean; interval_ms: number }>(
    `insert into oidc_polls as before (key_digest, interval_ms, polled_at, is_early, expires_at)
     values ($1, $2, $3, false, $4)
     on conflict (key_digest) do update
     set (interval_ms, is_early) = (
           select case when early then before.interval_ms + $5 when known then before.interval_ms else $2 end, early
           from (select before.expires_at > $3 as known) k,
             lateral (
               select known
                 and $3 < before.polled_at + (before.interval_ms - $6::integer) * interval '1 millisecond' as early
             ) e
         ),
         polled_at = $3,
         expires_at = $4
     returning is_early, interval_ms`,
    [poll.keyDigest, poll.intervalMs, poll.now, poll.expiresAt, poll.stepMs, POLL_LENIENCY_MS],
    { name: 'oidc_count_poll' },
  );
  const { is_early: isEarly, interval_ms: intervalMs } = rows[0]!;
  return isEarly ? { kind: 'too-early', intervalSeconds: intervalMs / 1000 } : { kind: 'in-time' };
}
