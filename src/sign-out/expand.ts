import { z } from 'zod';

import type { Clock } from '../platform/clock.ts';
import type { Database, Queryable } from '../platform/database.ts';
import { uuidv7 } from '../platform/ids.ts';
import type { FindClient, TellSubject } from './notice.ts';
import { findSignedIn } from './signed-in.ts';

const BATCH_EVENTS = 100;

/** As `session.ended` and `session.application_ended` carry them: see audit/events.ts. */
const recorded = z.object({
  sub: z.string().optional(),
  applications: z.array(z.object({ client_id: z.string(), sid: z.string().optional() })).optional(),
});

interface EventRow {
  id: string;
  seq: string;
  type: string;
  at: Date;
  account_id: string | null;
  session_uid: string | null;
  payload: unknown;
  sub: string | null;
}

interface Told {
  clientId: string;
  sessionUid?: string | undefined;
  sid?: string | undefined;
}

/**
 * Makes notices of what the chain has recorded since the last time, and moves the cursor, in one transaction: each
 * record is expanded once, by one process.
 *
 * @param sessionSeconds how long a session lives at most: who signed in before that is signed out already
 * @returns how many records were expanded; fewer than a batch means that nothing is left
 */
export async function expandSignOuts({
  db,
  clock,
  findClient,
  tellSubject,
  sessionSeconds,
  giveUpAfterSeconds,
}: {
  db: Database;
  clock: Clock;
  findClient: FindClient;
  tellSubject: TellSubject;
  sessionSeconds: number;
  giveUpAfterSeconds: number;
}): Promise<{ isMore: boolean }> {
  return db.transaction(async (tx) => {
    const { rows: cursors } = await tx.query<{ seq: string }>(
      'select seq from logout_cursor for update skip locked',
    );
    const [cursor] = cursors;
    if (!cursor) return { isMore: false };
    const events = await readSignOuts(tx, cursor.seq);
    const last = events.at(-1);
    if (!last) return { isMore: false };
    for (const event of events) {
      const sub = event.sub ?? recorded.safeParse(event.payload).data?.sub;
      if (sub === undefined) continue;
      const told = await whoIsTold(tx, event, { findClient, sessionSeconds });
      for (const one of told) {
        const known = await tellSubject(one.clientId, sub);
        if (known === undefined) continue;
        await insertNotice(tx, { event, sub: known, one, now: clock.now(), giveUpAfterSeconds });
      }
    }
    await tx.query('update logout_cursor set seq = $1', [last.seq]);
    return { isMore: events.length === BATCH_EVENTS };
  });
}

/** The list of types stands here as in the index `audit_events_sign_outs`. */
async function readSignOuts(tx: Queryable, afterSeq: string): Promise<EventRow[]> {
  const { rows } = await tx.query<EventRow>(
    `select e.id, e.seq, e.type, e.at, e.account_id, e.session_uid, e.payload, a.sub
       from audit_events e left join accounts a on a.id = e.account_id
      where e.seq > $1 and e.outcome = 'success' and e.type in (
              'session.ended', 'session.application_ended',
              'account.signed_out', 'account.disabled', 'account.password_set', 'factor.reset'
            )
        and not coalesce((e.payload ->> 'rehashed')::boolean, false)
      order by e.seq limit ${BATCH_EVENTS}`,
    [afterSeq],
  );
  return rows;
}

/** A session by name where the client wants that and knows it; else the person, once. */
async function whoIsTold(
  tx: Queryable,
  event: EventRow,
  { findClient, sessionSeconds }: { findClient: FindClient; sessionSeconds: number },
): Promise<Told[]> {
  const told = new Map<string, Told>();
  for (const one of await applicationsOf(tx, event, sessionSeconds)) {
    const client = await findClient(one.clientId);
    if (client?.backchannelLogoutUri === undefined) continue;
    if (!client.backchannelLogoutSessionRequired) {
      told.set(JSON.stringify([one.clientId]), {
        clientId: one.clientId,
        sessionUid: event.session_uid ?? undefined,
      });
    } else if (one.sid !== undefined) {
      told.set(JSON.stringify([one.clientId, one.sid]), one);
    }
  }
  return [...told.values()];
}

async function applicationsOf(tx: Queryable, event: EventRow, sessionSeconds: number): Promise<Told[]> {
  if (event.type.startsWith('session.')) {
    const { applications = [] } = recorded.safeParse(event.payload).data ?? {};
    return applications.map(({ client_id: clientId, sid }) => ({
      clientId,
      sid,
      sessionUid: event.session_uid ?? undefined,
    }));
  }
  if (event.account_id === null) return [];
  return findSignedIn(tx, {
    accountId: event.account_id,
    since: new Date(event.at.getTime() - sessionSeconds * 1000),
    beforeSeq: event.seq,
  });
}

async function insertNotice(
  tx: Queryable,
  {
    event,
    sub,
    one,
    now,
    giveUpAfterSeconds,
  }: { event: EventRow; sub: string; one: Told; now: Date; giveUpAfterSeconds: number },
): Promise<void> {
  await tx.query(
    `insert into logout_notices
       (id, client_id, account_id, sub, sid, session_uid, event_id, created_at, next_attempt_at, gives_up_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)`,
    [
      uuidv7(now),
      one.clientId,
      event.account_id,
      sub,
      one.sid ?? null,
      one.sessionUid ?? null,
      event.id,
      now,
      new Date(now.getTime() + giveUpAfterSeconds * 1000),
    ],
  );
}
