import type { Queryable } from '../platform/database.ts';
import type { ApprovalRequest, Asked, Authority } from './approval.ts';

interface RequestRow {
  id: string;
  account_id: string;
  client_id: string;
  binding_message: string | null;
  asked: Asked;
  created_at: Date;
  expires_at: Date;
  decision: 'approved' | 'denied' | null;
  authority: Authority | null;
}

const COLUMNS =
  'id, account_id, client_id, binding_message, asked, created_at, expires_at, decision, authority';

export interface RequestToInsert {
  id: string;
  requestDigest: string;
  accountId: string;
  clientId: string;
  bindingMessage?: string | undefined;
  asked: Asked;
  createdAt: Date;
  expiresAt: Date;
  pingSealed?: string | undefined;
}

/** Until the transaction ends, nobody else puts a request of this client to this person. */
export async function lockQueue(tx: Queryable, accountId: string, clientId: string): Promise<void> {
  await tx.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [
    `approval ${accountId} ${clientId}`,
  ]);
}

/** @returns how many wait now, and how many came since then, whatever became of them */
export async function countRequests(
  tx: Queryable,
  { accountId, clientId, now, since }: { accountId: string; clientId: string; now: Date; since: Date },
): Promise<{ waiting: number; recent: number }> {
  const { rows } = await tx.query<{ waiting: number; recent: number }>(
    `select count(*) filter (where decision is null and expires_at > $3)::int as waiting,
            count(*) filter (where created_at > $4)::int as recent
       from approval_requests where account_id = $1 and client_id = $2`,
    [accountId, clientId, now, since],
  );
  return rows[0]!;
}

export async function insertRequest(tx: Queryable, request: RequestToInsert): Promise<void> {
  await tx.query(
    `insert into approval_requests
       (id, request_digest, account_id, client_id, binding_message, asked, created_at, expires_at, ping_sealed)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [
      request.id,
      request.requestDigest,
      request.accountId,
      request.clientId,
      request.bindingMessage ?? null,
      JSON.stringify(request.asked),
      request.createdAt,
      request.expiresAt,
      request.pingSealed ?? null,
    ],
  );
}

/** Those that wait for the person, the oldest first. */
export async function findWaiting(db: Queryable, accountId: string, now: Date): Promise<ApprovalRequest[]> {
  const { rows } = await db.query<RequestRow>(
    `select ${COLUMNS} from approval_requests
      where account_id = $1 and decision is null and expires_at > $2
      order by created_at, id limit 100`,
    [accountId, now],
  );
  return rows.map(toRequest);
}

export async function findByDigest(
  db: Queryable,
  requestDigest: string,
): Promise<ApprovalRequest | undefined> {
  const { rows } = await db.query<RequestRow>(
    `select ${COLUMNS} from approval_requests where request_digest = $1`,
    [requestDigest],
    { name: 'approval_by_digest' },
  );
  return rows[0] && toRequest(rows[0]);
}

/**
 * Decides the request of this person, unless it is decided or has expired: of any number at once, one does.
 *
 * @returns the request as it was decided, with its sealed ping, for the one that decided
 */
export async function decideRequest(
  tx: Queryable,
  {
    id,
    accountId,
    now,
    authority,
  }: { id: string; accountId: string; now: Date; authority: Authority | undefined },
): Promise<{ request: ApprovalRequest; pingSealed: string | undefined } | undefined> {
  const { rows } = await tx.query<RequestRow & { ping_sealed: string | null }>(
    `update approval_requests set decision = $4, decided_at = $3, authority = $5
      where id = $1 and account_id = $2 and decision is null and expires_at > $3
     returning ${COLUMNS}, ping_sealed`,
    [
      id,
      accountId,
      now,
      authority === undefined ? 'denied' : 'approved',
      authority === undefined ? null : JSON.stringify(authority),
    ],
  );
  return rows[0] && { request: toRequest(rows[0]), pingSealed: rows[0].ping_sealed ?? undefined };
}

export async function insertPing(
  tx: Queryable,
  ping: { id: string; clientId: string; accountId: string; sealed: string; now: Date; givesUpAt: Date },
): Promise<void> {
  await tx.query(
    `insert into approval_pings (id, client_id, account_id, sealed, created_at, next_attempt_at, gives_up_at)
     values ($1, $2, $3, $4, $5, $5, $6)`,
    [ping.id, ping.clientId, ping.accountId, ping.sealed, ping.now, ping.givesUpAt],
  );
}

/** Removes at most `limit` requests that were over before then; returns how many. */
export async function removeOldRequests(
  db: Queryable,
  { before, limit }: { before: Date; limit: number },
): Promise<number> {
  const { rowCount } = await db.query(
    `delete from approval_requests where id in (
       select id from approval_requests where expires_at < $1 limit $2
     )`,
    [before, limit],
  );
  return rowCount;
}

function toRequest(row: RequestRow): ApprovalRequest {
  return {
    id: row.id,
    accountId: row.account_id,
    clientId: row.client_id,
    asked: row.asked,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    ...(row.binding_message === null ? {} : { bindingMessage: row.binding_message }),
    ...(row.decision === 'denied' ? { decision: { kind: 'denied' } } : {}),
    ...(row.decision === 'approved' && row.authority
      ? { decision: { kind: 'approved', authority: row.authority } }
      : {}),
  };
}
