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
import { consentKey, insertRevocation } from '../audit/revocations.ts';
import { ACCOUNT_CLIENT_ID } from '../clients/own-client.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database, Queryable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import { type Consent, deleteConsent, listConsents } from './consents.ts';

/** A client that may have access to a person. */
export interface LetIn {
  clientId: string;
  /** When they last signed in to it, or allowed it something. */
  at: Date;
}

export interface ConsentService {
  /** What is remembered, of clients that ask once. In the order of the clients' ids. */
  list: (accountId: string) => Promise<Consent[]>;
  /** Whom the person let in and has not withdrawn it from, remembered or not; our own pages apart. The newest first. */
  letIn: (accountId: string) => Promise<LetIn[]>;
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
    letIn: (accountId) =>
      findLetIn(db, {
        accountId,
        since: new Date(clock.now().getTime() - longestGrantSeconds * 1000),
      }),

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

const ACCESS_EVENTS = `('consent.granted', 'authorization.succeeded', 'device.approved', 'approval.approved')`;

async function findLetIn(
  db: Queryable,
  { accountId, since }: { accountId: string; since: Date },
): Promise<LetIn[]> {
  const { rows } = await db.query<{ client_id: string; at: Date }>(
    `select client_id, max(at) as at
       from (select client_id, granted_at as at from consents where account_id = $1
             union all
             select client_id, at from audit_events a
              where account_id = $1 and at > $2 and client_id is not null and outcome = 'success'
                and type in ${ACCESS_EVENTS}
                and not exists (select 1 from audit_events w
                                 where w.account_id = $1 and w.client_id = a.client_id
                                   and w.type = 'consent.revoked' and w.at >= a.at)) let_in
      where client_id <> $3
      group by client_id order by at desc, client_id limit 500`,
    [accountId, since, ACCOUNT_CLIENT_ID],
  );
  return rows.map(({ client_id: clientId, at }) => ({ clientId, at }));
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
          and type in ${ACCESS_EVENTS}
     ) as was`,
    [accountId, clientId],
  );
  return rows[0]?.was === true;
}
