import { insertRevocation } from '../audit/revocations.ts';
import type { Queryable } from '../platform/database.ts';

/**
 * Ends every session, grant and token that the account has so far, in the transaction of the change that asks for it.
 *
 * @param sub what sessions and tokens know the account by: their `accountId` is the `sub`, never the account's own id
 * @param longestTokenSeconds how long the longest-lived of them could still work: the revocation is kept that long
 */
export async function endEverything(
  tx: Queryable,
  {
    sub,
    reason,
    now,
    longestTokenSeconds,
  }: { sub: string; reason: string; now: Date; longestTokenSeconds: number },
): Promise<void> {
  await insertRevocation(tx, {
    kind: 'account',
    id: sub,
    before: now,
    expiresAt: new Date(now.getTime() + longestTokenSeconds * 1000),
    reason,
  });
}
