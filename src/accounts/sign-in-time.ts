import { afterSecondOf, findEnd } from '../audit/revocations.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { awaitLoginRow } from './store.ts';

const KINDS = ['account', 'account_sessions'] as const;

/**
 * From when on a sign-in counts, in seconds since the epoch (`auth_time`, OpenID Connect Core §2). That is when it
 * began, before the password was looked at: whatever ends the account's sessions meanwhile ends this one too.
 *
 * What was ended in the same second, but before it began, must not take it along, and whole seconds cannot tell the two
 * apart. Such a sign-in waits for the next second, and counts from there unless something else has come in between.
 *
 * @param startedAt when the sign-in began
 */
export async function signInTime(
  { db, clock }: { db: Database; clock: Clock },
  { account, startedAt }: { account: { id: string; sub: string }; startedAt: Date },
): Promise<number> {
  const started = Math.floor(startedAt.getTime() / 1000);
  const endedAt = await findEnd(db, account.sub, KINDS);
  if (endedAt === undefined || endedAt >= startedAt || Math.floor(endedAt.getTime() / 1000) < started) {
    return started;
  }
  await afterSecondOf(endedAt, clock);
  const lastEndedAt = await db.transaction(async (tx) => {
    await awaitLoginRow(tx, account.id);
    return findEnd(tx, account.sub, KINDS);
  });
  return lastEndedAt !== undefined && lastEndedAt >= startedAt ? started : started + 1;
}
