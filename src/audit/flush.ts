import type { Connection } from '../platform/connection.ts';
import type { PreparedBatch } from './batch.ts';
import { chainHash, type ChainedFields } from './chain.ts';
import { subjectsOf, type RevokedFact, type SpentFact } from './judge.ts';
import { REVOCATIONS_CHANNEL, type Revocation } from './revocations.ts';
import { FIELDS, toChainedFields, type ChainedColumns, type EventRow } from './row.ts';

/*
 * The SQL of a flush whose verdicts depend on what the database holds (most do not: flush-at-once.ts): two round trips,
 * for statements are sent without waiting for the answers of earlier ones. First: begin, lock the chain head, then read
 * what the verdicts depend on. The head's lock makes every process take turns, and each statement after it sees all
 * that earlier turns committed. Second: write everything and commit.
 */

/** Who stalls while holding the chain's head (a frozen process, a cut network) is ended by the server. */
const IDLE_IN_TRANSACTION_MS = 2_000;

export interface Head {
  seq: number;
  hash: string;
}

interface Facts {
  head: Head;
  spent: SpentFact[];
  revoked: RevokedFact[];
  /** Appended by subjects in their own transactions, waiting to be linked. */
  unlinked: ChainedFields[];
}

export async function begin(connection: Connection, timeoutMs: number): Promise<Head> {
  const [, { rows }] = await Promise.all([
    connection.query(
      `begin isolation level read committed read write;
       set local statement_timeout = ${Math.max(1, Math.ceil(timeoutMs))};
       set local idle_in_transaction_session_timeout = ${IDLE_IN_TRANSACTION_MS}`,
    ),
    connection.query<{ seq: string; hash: string }>('select seq, hash from audit_head for update', [], {
      name: 'audit_lock_head',
    }),
  ]);
  const head = rows[0];
  if (!head) throw new Error('The audit log has lost its head: audit_head is empty');
  return { seq: Number(head.seq), hash: head.hash };
}

export async function beginAndRead(
  connection: Connection,
  {
    batches,
    writerId,
    linkLimit,
    timeoutMs,
  }: { batches: readonly PreparedBatch[]; writerId: string; linkLimit: number; timeoutMs: number },
): Promise<Facts> {
  const digests = batches.flatMap(({ spent }) => spent.map(({ digest }) => digest));
  const subjects = batches.flatMap(({ requireLive }) => requireLive.flatMap(subjectsOf));
  const [head, spent, revoked, unlinked] = await connection.together(() =>
    Promise.all([
      begin(connection, timeoutMs),
      digests.length === 0 ? [] : readSpent(connection, digests, writerId),
      subjects.length === 0 ? [] : readRevoked(connection, subjects),
      linkLimit === 0 ? [] : readUnlinked(connection, linkLimit),
    ]),
  );
  return { head, spent, revoked, unlinked };
}

async function readSpent(connection: Connection, digests: string[], writerId: string): Promise<SpentFact[]> {
  const { rows } = await connection.query<{
    digest: string;
    spend_id: string;
    is_settled: boolean;
    age_ms: number;
  }>(
    `select digest, spend_id, coalesce(s.writer_id = $2 or w.settled_flush >= s.flush, false) as is_settled,
            extract(epoch from clock_timestamp() - s.created_at)::float8 * 1000 as age_ms
       from spent s left join audit_writers w on w.id = s.writer_id
      where digest = any($1)`,
    [digests, writerId],
    { name: 'audit_read_spent' },
  );
  return rows.map((row) => ({
    digest: row.digest,
    spendId: row.spend_id,
    isSettled: row.is_settled,
    ageMs: row.age_ms,
  }));
}

async function readRevoked(
  connection: Connection,
  subjects: readonly { kind: string; id: string }[],
): Promise<RevokedFact[]> {
  const { rows } = await connection.query<{
    kind: Revocation['kind'];
    subject: string;
    before: Date | null;
  }>(
    `select kind, subject, before from revocations
      where (kind, subject) in (select * from unnest($1::text[], $2::text[]))`,
    [subjects.map(({ kind }) => kind), subjects.map(({ id }) => id)],
    { name: 'audit_read_revoked' },
  );
  return rows.map(({ kind, subject, before }) => ({ kind, subject, before: before ?? undefined }));
}

/** Locked rows are being erased just now: another flush will link them. */
async function readUnlinked(connection: Connection, limit: number): Promise<ChainedFields[]> {
  const { rows } = await connection.query<ChainedColumns>(
    `select ${FIELDS} from audit_events where seq is null order by audit_events.at, id limit $1
        for update skip locked`,
    [limit],
    { name: 'audit_read_unlinked' },
  );
  return rows.map(toChainedFields);
}

/** A row's place in the chain, as it is written. */
export interface Link {
  seq: number;
  prev_hash: string;
  hash: string;
}

/** Links the rows behind the head, in order; returns their places and the new head. */
function link(head: Head, rows: readonly ChainedFields[]): { links: Link[]; head: Head } {
  let { seq, hash } = head;
  const links = rows.map((row) => {
    const previous = hash;
    seq += 1;
    hash = chainHash(previous, row);
    return { seq, prev_hash: previous, hash };
  });
  return { links, head: { seq, hash } };
}

export type CommitOutcome =
  | { kind: 'committed' }
  /** Nothing was written. */
  | { kind: 'failed'; error: unknown }
  /** The connection was lost after the commit had been sent. */
  | { kind: 'ambiguous'; error: unknown };

/** Writes the accepted batches and the links of waiting rows, moves the head, commits. */
export async function writeAndCommit(
  connection: Connection,
  {
    facts,
    batches,
    writerId,
    flush,
  }: { facts: Facts; batches: readonly PreparedBatch[]; writerId: string; flush: number },
): Promise<CommitOutcome> {
  const rows = batches.flatMap((batch) => batch.rows);
  const { links, head } = link(facts.head, [...facts.unlinked, ...rows]);
  const linked = facts.unlinked.map(({ id, at }, index) => ({ id, at, ...links[index]! }));
  const events = rows.map((row, index) => Object.assign(eventColumns(row), links[linked.length + index]!));
  const values = [
    JSON.stringify(events),
    JSON.stringify(linked),
    JSON.stringify(spentColumns(batches)),
    JSON.stringify(revocationColumns(batches)),
    writerId,
    flush,
    head.seq,
    head.hash,
  ];
  return connection.together(() =>
    commitAfter(connection, connection.query(WRITE, values, { name: 'audit_write' })),
  );
}

/** Sends the commit right behind the write, and says what can be known of the outcome. */
async function commitAfter(connection: Connection, written: Promise<unknown>): Promise<CommitOutcome> {
  const [write, commit] = await Promise.allSettled([written, connection.query('commit')]);
  // An answer of the server means that the write failed there, and the commit behind it rolled back.
  if (write.status === 'rejected' && isServerError(write.reason))
    return { kind: 'failed', error: write.reason };
  if (write.status === 'rejected') return { kind: 'ambiguous', error: write.reason };
  if (commit.status === 'rejected') return { kind: 'ambiguous', error: commit.reason };
  if (commit.value.command !== 'COMMIT')
    return { kind: 'failed', error: new Error(`The commit was answered by ${commit.value.command}`) };
  return { kind: 'committed' };
}

export function isServerError(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'severity' in error;
}

/** Rows of `spent`. */
export function spentColumns(batches: readonly PreparedBatch[]): object[] {
  return batches.flatMap((batch) =>
    batch.spent.map((spend) => ({
      digest: spend.digest,
      kind: spend.kind,
      spend_id: spend.spendId,
      request_id: batch.requestId ?? null,
      grant_id: spend.grantId ?? null,
      expires_at: spend.expiresAt,
    })),
  );
}

/** Rows of `revocations`. */
export function revocationColumns(batches: readonly PreparedBatch[]): object[] {
  return batches.flatMap((batch) =>
    batch.revocations.map((revocation) => ({
      id: revocation.rowId,
      kind: revocation.kind,
      subject: revocation.id,
      before: revocation.before ?? null,
      reason: revocation.reason,
      expires_at: revocation.expiresAt,
    })),
  );
}

function eventColumns(row: EventRow): Record<string, unknown> {
  return {
    id: row.id,
    at: row.at,
    type: row.type,
    outcome: row.outcome,
    actor_kind: row.actorKind,
    actor_id: row.actorId,
    account_id: row.accountId,
    client_id: row.clientId,
    session_uid: row.sessionUid,
    grant_id: row.grantId,
    request_id: row.requestId,
    payload: row.payload,
    personal: row.personal,
    personal_salt: row.personalSalt,
    personal_digest: row.personalDigest,
  };
}

const EVENT_COLUMNS = `id, at, type, outcome, actor_kind, actor_id, account_id, client_id, session_uid, grant_id,
  request_id, payload, personal, personal_salt, personal_digest, seq, prev_hash, hash`;

const WRITE = `
  with recorded as (
    insert into audit_events (${EVENT_COLUMNS})
    select ${EVENT_COLUMNS} from json_to_recordset($1::json) as e (
      id uuid, at timestamptz, type text, outcome text, actor_kind text, actor_id text, account_id uuid,
      client_id text, session_uid text, grant_id text, request_id text, payload jsonb, personal jsonb,
      personal_salt text, personal_digest text, seq bigint, prev_hash text, hash text
    )
  ), linked as (
    update audit_events a set seq = l.seq, prev_hash = l.prev_hash, hash = l.hash
      from json_to_recordset($2::json) as l (id uuid, at timestamptz, seq bigint, prev_hash text, hash text)
     where a.id = l.id and a.at = l.at
  ), spending as (
    insert into spent (digest, kind, spend_id, request_id, grant_id, expires_at, writer_id, flush)
    select digest, kind, spend_id, request_id, grant_id, expires_at, $5::uuid, $6::bigint
      from json_to_recordset($3::json) as s (
        digest text, kind text, spend_id uuid, request_id text, grant_id text, expires_at timestamptz
      )
    returning 1
  ), revoking as (
    insert into revocations (id, kind, subject, before, reason, expires_at)
    select id, kind, subject, before, reason, expires_at from json_to_recordset($4::json) as r (
      id uuid, kind text, subject text, before timestamptz, reason text, expires_at timestamptz
    )
    returning 1
  ), settling as (
    insert into audit_writers (id, settled_flush)
    select $5::uuid, $6::bigint - 1 where exists (select from spending)
    on conflict (id) do update set settled_flush = excluded.settled_flush, seen_at = now()
  )
  update audit_head set seq = $7, hash = $8
  returning (select count(pg_notify('${REVOCATIONS_CHANNEL}', '')) from (select from revoking limit 1) r)`;
