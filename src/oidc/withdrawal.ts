/**
 * Withdrawing what a person let a client do: what was remembered of it is forgotten, and everything that the client got
 * of that person ends on every process within a second, whichever browser it came from: grants with their codes and
 * tokens, `offline_access` or not, and what others got in exchange for those. Sessions go on, and the client may ask
 * anew; a first-party client, about which nobody is asked, gets it again with the next sign-in.
 *
 * One row says so (audit/revocations.ts). It counts for grants that were made up to its time (liveness.ts), and the
 * flush of whatever is being issued at that moment looks for it (grants.ts).
 */
import { appendInTransaction } from '../audit/append.ts';
import type { Actor } from '../audit/events.ts';
import { insertRevocation } from '../audit/revocations.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database, Queryable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import { type Consent, consentKey, deleteConsent, listConsents } from './consents.ts';

export interface ConsentService {
  /** What is remembered, of clients that ask once. In the order of the clients' ids. */
  list: (accountId: string) => Promise<Consent[]>;
  /**
   * @param person `sub` is what tokens know the person by, `id` what the audit log does
   * @throws AppError `consent_not_found` (404) where the person never let that client do anything
   */
  withdraw: (person: { id: string; sub: string }, clientId: string, by: Actor) => Promise<void>;
}

/** @param longestGrantSeconds how long anything under a grant may live */
export function createConsentService({
  db,
  clock,
  longestGrantSeconds,
}: {
  db: Database;
  clock: Clock;
  longestGrantSeconds: number;
}): ConsentService {
  return {
    list: (accountId) => listConsents(db, accountId),

    withdraw: ({ id: accountId, sub }, clientId, by) =>
      db.transaction(async (tx) => {
        const wasRemembered = await deleteConsent(tx, { accountId, clientId });
        if (!wasRemembered && !(await wasEverAllowed(tx, { accountId, clientId }))) {
          throw new AppError(
            'consent_not_found',
            404,
            `That account never let the client ${JSON.stringify(clientId)} do anything.`,
          );
        }
        const now = clock.now();
        await insertRevocation(tx, {
          kind: 'consent',
          id: consentKey({ sub, clientId }),
          before: now,
          expiresAt: new Date(now.getTime() + longestGrantSeconds * 1000),
          reason: 'consent withdrawn',
        });
        await appendInTransaction(
          tx,
          { type: 'consent.revoked', outcome: 'success', actor: by, accountId, clientId, payload: {} },
          { clock },
        );
      }),
  };
}

/** Also a client that asks each time, or never, or that nobody registered: the log has every sign-in and approval. */
async function wasEverAllowed(
  db: Queryable,
  { accountId, clientId }: { accountId: string; clientId: string },
): Promise<boolean> {
  const { rows } = await db.query<{ was: boolean }>(
    `select exists (
       select 1 from audit_events
        where account_id = $1 and client_id = $2 and outcome = 'success'
          and type in ('consent.granted', 'authorization.succeeded', 'device.approved', 'approval.approved')
     ) as was`,
    [accountId, clientId],
  );
  return rows[0]?.was === true;
}
