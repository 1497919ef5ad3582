import { setTimeout as delay } from 'node:timers/promises';

import type { Clock } from '../platform/clock.ts';
import type { Database, Queryable } from '../platform/database.ts';
import { uuidv7 } from '../platform/ids.ts';

/**
 * What has been ended before its time. `grant`, `session` and `token` end what carries that id; `account` ends
 * everything issued to the account at or before `before` (everything, without it), `account_sessions` of that only
 * its sessions and what is bound to one. `client` ends what was issued to the client at or before `before`,
 * `api` the access tokens for the API, `consent` what one person let one client do.
 */
export type Revocation = {
  kind: 'grant' | 'session' | 'token' | 'account' | 'account_sessions' | 'client' | 'api' | 'consent';
  id: string;
  before?: Date | undefined;
  /** When the last thing that it can end has expired by itself. */
  expiresAt: Date;
  reason: string;
};

/**
 * What a revocation names a person's consent to a client by, remembered or not. Neither part has a space in it.
 *
 * @param sub of the account, never a pairwise one
 */
export function consentKey({ sub, clientId }: { sub: string; clientId: string }): string {
  return `${sub} ${clientId}`;
}

interface RevocableSubject {
  grantId?: string | undefined;
  sessionUid?: string | undefined;
  tokenId?: string | undefined;
  accountId?: string | undefined;
  clientId?: string | undefined;
  /** The API's identifier. */
  api?: string | undefined;
  /** Of the person to the client: see `consentKey`. */
  consent?: string | undefined;
  /** Without it, any revocation of the account, the client or the API counts. */
  issuedAt?: Date | undefined;
}

/** The live revocations in memory, in every process within a second of being written. */
export interface RevocationList {
  isRevoked: (subject: RevocableSubject) => boolean;
  /** Up to when what carries that id was ended; undefined where nothing was, or everything. */
  endedUpTo: (kind: Revocation['kind'], id: string) => Date | undefined;
  /** Takes one over at once, without waiting for the news to come round. */
  add: (revocation: Revocation) => void;
  /** Loads what is live, then listens and polls. @throws when the database cannot be reached */
  start: () => Promise<void>;
  stop: () => Promise<void>;
  refresh: () => Promise<void>;
}

export const REVOCATIONS_CHANNEL = 'gatehouse_revocations';
const POLL_INTERVAL_MS = 1_000;
/** Timers may end a little before their time by the clock. */
const TIMER_EARLY_MS = 5;

/** Records the revocation in the caller's transaction: it is final as soon as that commits. */
export async function insertRevocation(tx: Queryable, revocation: Revocation): Promise<void> {
  await tx.query(
    `with told as (select pg_notify('${REVOCATIONS_CHANNEL}', ''))
     insert into revocations (id, kind, subject, before, expires_at, reason)
     select $1, $2, $3, $4, $5, $6 from told`,
    [
      uuidv7(),
      revocation.kind,
      revocation.id,
      revocation.before ?? null,
      revocation.expiresAt,
      revocation.reason,
    ],
  );
}

/** Up to when what carries that id was last ended by one of those kinds; undefined where it never was. */
export async function findEnd(
  db: Queryable,
  id: string,
  kinds: readonly Revocation['kind'][],
): Promise<Date | undefined> {
  const { rows } = await db.query<{ before: Date | null }>(
    `select max(before) as before from revocations
      where kind = any ($2) and subject = $1`,
    [id, kinds],
  );
  return rows[0]?.before ?? undefined;
}

/** Removes at most `limit` revocations that can end nothing any more; returns how many. */
export async function removeExpiredRevocations(
  db: Queryable,
  { now, limit = 1_000 }: { now: Date; limit?: number },
): Promise<number> {
  const { rowCount } = await db.query(
    `delete from revocations where id in (select id from revocations where expires_at < $1 limit $2)`,
    [now, limit],
  );
  return rowCount;
}

/** Whether what was issued at `issuedAt` falls under the revocation. In whole seconds, as tokens carry their times. */
export function isCovered(before: Date | undefined, issuedAt: Date | undefined): boolean {
  if (before === undefined || issuedAt === undefined) return true;
  return secondOf(issuedAt) <= secondOf(before);
}

/**
 * Waits until what is issued from now on falls under it no more, if it does now. A second at most, and only in that of
 * the revocation itself.
 */
export async function afterSecondOf(before: Date | undefined, clock: Clock): Promise<void> {
  const now = clock.now();
  if (before === undefined || before > now || !isCovered(before, now)) return;
  await delay((secondOf(before) + 1) * 1000 - now.getTime() + TIMER_EARLY_MS);
}

function secondOf(at: Date): number {
  return Math.floor(at.getTime() / 1000);
}

interface Entry {
  /** Undefined: everything. */
  before: Date | undefined;
  expiresAt: Date;
}

interface RevocationRow {
  kind: Revocation['kind'];
  subject: string;
  before: Date | null;
  expires_at: Date;
}

export function createRevocationList({
  db,
  clock,
  onError = () => {},
}: {
  db: Database;
  clock: Clock;
  onError?: (error: unknown) => void;
}): RevocationList {
  const entries = new Map<string, Entry>();
  let seenVersion = '0';
  let poll: NodeJS.Timeout | undefined;
  let listening: { stop: () => Promise<void> } | undefined;
  let refreshing: Promise<void> | undefined;
  let isRefreshWanted = false;
  let isStopped = true;

  const add = ({ kind, id, before, expiresAt }: Omit<Revocation, 'reason'>): void => {
    const key = keyOf(kind, id);
    const known = entries.get(key);
    if (!known) {
      entries.set(key, { before, expiresAt });
      return;
    }
    if (known.before && (before === undefined || before > known.before)) known.before = before;
    if (expiresAt > known.expiresAt) known.expiresAt = expiresAt;
  };

  const load = async (): Promise<void> => {
    const now = clock.now();
    // Everything below the snapshot's xmin has ended and was visible to this query or never will be; whatever was
    // still under way is at or above it and is looked for again next time.
    const { rows } = await db.query<RevocationRow & { next_version: string }>(
      `select kind, subject, before, expires_at, s.next_version
         from (select pg_snapshot_xmin(pg_current_snapshot())::text as next_version) s
         left join revocations on version >= $1::xid8 and expires_at > $2`,
      [seenVersion, now],
    );
    for (const row of rows) {
      if (row.kind !== null)
        add({
          kind: row.kind,
          id: row.subject,
          before: row.before ?? undefined,
          expiresAt: row.expires_at,
        });
    }
    seenVersion = rows[0]?.next_version ?? seenVersion;
    for (const [key, { expiresAt }] of entries) if (expiresAt <= now) entries.delete(key);
  };

  // A message that comes in while a query is under way may tell of what that query did not see.
  const refresh = async (): Promise<void> => {
    isRefreshWanted = true;
    refreshing ??= (async () => {
      while (isRefreshWanted) {
        isRefreshWanted = false;
        await load();
      }
    })().finally(() => {
      refreshing = undefined;
    });
    await refreshing;
  };

  const refreshOrReport = (): void => {
    if (!isStopped) refresh().catch(onError);
  };

  const find = (kind: Revocation['kind'], id: string | undefined): Entry | undefined => {
    if (id === undefined) return undefined;
    const entry = entries.get(keyOf(kind, id));
    return entry && entry.expiresAt > clock.now() ? entry : undefined;
  };

  return {
    isRevoked: ({ grantId, sessionUid, tokenId, accountId, clientId, api, consent, issuedAt }) => {
      if (find('grant', grantId) ?? find('session', sessionUid) ?? find('token', tokenId)) return true;
      const account = find('account', accountId);
      if (account !== undefined && isCovered(account.before, issuedAt)) return true;
      for (const named of [find('client', clientId), find('api', api), find('consent', consent)]) {
        if (named !== undefined && isCovered(named.before, issuedAt)) return true;
      }
      const sessions = sessionUid === undefined ? undefined : find('account_sessions', accountId);
      return sessions !== undefined && isCovered(sessions.before, issuedAt);
    },
    endedUpTo: (kind, id) => find(kind, id)?.before,
    add,
    start: async () => {
      isStopped = false;
      await refresh();
      listening = await db.listen(REVOCATIONS_CHANNEL, refreshOrReport);
      poll = setInterval(refreshOrReport, POLL_INTERVAL_MS);
      poll.unref();
    },
    stop: async () => {
      isStopped = true;
      clearInterval(poll);
      await listening?.stop();
      await refreshing?.catch(onError);
    },
    refresh,
  };
}

function keyOf(kind: string, id: string): string {
  return `${kind}:${id}`;
}
