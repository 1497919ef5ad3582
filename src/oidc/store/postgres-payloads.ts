import type { Queryable } from '../../platform/database.ts';
import type { Model, Spending } from './port.ts';
import { SESSION_QUERY, type SessionRow } from './postgres-sessions.ts';
import type { StoredRecord } from './records.ts';

/** A payload as a look-up sees it: present, not ended, not expired. */
export interface PayloadRow {
  id_digest: string;
  payload: object;
  spent_at: Date | null;
}

/** The columns of PayloadRow; `spent_at` only where the mark counts at `$1`, which is the time everywhere here. */
const PAYLOAD_COLUMNS = `id_digest, payload,
  case when spent_final or lease_until > $1 then spent_at end as spent_at`;
const IS_ALIVE = `ended_at is null and (expires_at is null or expires_at > $1)`;

/**
 * Writes the payload, unless it or its grant was ended. Whoever ends the grant waits for the share lock or is waited
 * for, so a token is either there to be removed or never written.
 *
 * @returns whether it was written
 */
export async function putPayload(
  db: Queryable,
  model: Model,
  record: StoredRecord,
  expiresAt: Date | undefined,
): Promise<boolean> {
  const { rowCount } = await db.query(
    `with holder as (
       select ended_at from oidc_payloads where model = 'Grant' and id_digest = $4 for share
     )
     insert into oidc_payloads (
       model, id_digest, payload, grant_digest, user_code_digest, expires_at, session_digest
     )
     select $1, $2, $3::json, $4, $5, $6, $7
     where not exists (select 1 from holder where ended_at is not null)
     on conflict (model, id_digest) do update
     set payload = excluded.payload,
         grant_digest = excluded.grant_digest,
         user_code_digest = excluded.user_code_digest,
         expires_at = excluded.expires_at,
         session_digest = excluded.session_digest
     where oidc_payloads.ended_at is null`,
    [
      model,
      record.idDigest,
      JSON.stringify(record.body),
      record.grantDigest ?? null,
      record.userCodeDigest ?? null,
      expiresAt ?? null,
      record.uidDigest ?? null,
    ],
    { name: 'oidc_put_payload' },
  );
  return rowCount > 0;
}

export async function findPayload(
  db: Queryable,
  model: Model,
  idDigest: string,
  now: Date,
): Promise<PayloadRow | undefined> {
  const { rows } = await db.query<PayloadRow>(
    `select ${PAYLOAD_COLUMNS} from oidc_payloads where model = $2 and id_digest = $3 and ${IS_ALIVE}`,
    [now, model, idDigest],
    { name: 'oidc_find_payload' },
  );
  return rows[0];
}

/** A token, and beside it what it stands on. */
export interface StandingRow extends PayloadRow {
  grant_payload: object | null;
  /** The ids of its session that are alive, with times as JSON has them; null for none. */
  sessions: readonly (Omit<SessionRow, 'expires_at'> & { expires_at: Date | string })[] | null;
}

export async function findStandingPayload(
  db: Queryable,
  model: Model,
  idDigest: string,
  now: Date,
): Promise<StandingRow | undefined> {
  const { rows } = await db.query<StandingRow>(
    `select ${PAYLOAD_COLUMNS},
       (select g.payload from oidc_payloads g
        where g.model = 'Grant' and g.id_digest = t.grant_digest
          and g.ended_at is null and (g.expires_at is null or g.expires_at > $1)) as grant_payload,
       (select json_agg(s) from (${SESSION_QUERY} and p.uid_digest = t.session_digest) s) as sessions
     from oidc_payloads t where model = $2 and id_digest = $3 and ${IS_ALIVE}`,
    [now, model, idDigest],
    { name: 'oidc_find_standing_payload' },
  );
  return rows[0];
}

export async function findPayloadByUserCode(
  db: Queryable,
  userCodeDigest: string,
  now: Date,
): Promise<PayloadRow | undefined> {
  const { rows } = await db.query<PayloadRow>(
    `select ${PAYLOAD_COLUMNS} from oidc_payloads
     where user_code_digest = $2 and model = 'DeviceCode' and ${IS_ALIVE}
     order by expires_at desc nulls first limit 1`,
    [now, userCodeDigest],
  );
  return rows[0];
}

/** Leaves a tombstone in the row's place. */
export async function endPayload(
  db: Queryable,
  model: Model,
  idDigest: string,
  { now, forgetAt }: { now: Date; forgetAt: Date },
): Promise<void> {
  await db.query(
    `insert into oidc_payloads (model, id_digest, ended_at, expires_at) values ($1, $2, $3, $4)
     on conflict (model, id_digest) do update set payload = null, ended_at = $3, expires_at = $4
     where oidc_payloads.ended_at is null`,
    [model, idDigest, now, forgetAt],
  );
}

/** Locks in one order, since every loser of a race revokes the same grant at the same moment. */
export async function endPayloadsOfGrant(
  db: Queryable,
  grantDigest: string,
  { now, forgetAt }: { now: Date; forgetAt: Date },
): Promise<void> {
  await db.query(
    `with doomed as (
       select model, id_digest from oidc_payloads
       where grant_digest = $1 and ended_at is null
       order by model, id_digest
       for update
     )
     update oidc_payloads p set payload = null, ended_at = $2, expires_at = $3
     from doomed where p.model = doomed.model and p.id_digest = doomed.id_digest`,
    [grantDigest, now, forgetAt],
  );
}

interface MarkRow {
  spent_by: string | null;
  spent_at: Date | null;
  spent_final: boolean;
}

/**
 * One conditional update decides; whoever does not win reads who did. The row is locked first, so that the mark it
 * carried is known to whoever takes it over.
 */
export async function spendPayload(
  db: Queryable,
  model: Model,
  idDigest: string,
  { spender, now, leaseUntil }: { spender: string; now: Date; leaseUntil: Date },
): Promise<Spending> {
  const { rows: won } = await db.query<{ held_by: string | null }>(
    `with held as materialized (
       select spent_by from oidc_payloads
       where model = $2 and id_digest = $3 and ${IS_ALIVE}
         and (spent_by is null or (not spent_final and (spent_by = $4 or lease_until <= $1)))
       for update
     )
     update oidc_payloads p set spent_by = $4, spent_at = $1, lease_until = $5
     from held where p.model = $2 and p.id_digest = $3
     returning held.spent_by as held_by`,
    [now, model, idDigest, spender, leaseUntil],
    { name: 'oidc_spend_payload' },
  );
  if (won[0]) {
    const heldBy = won[0].held_by;
    return heldBy === null || heldBy === spender ? { kind: 'won' } : { kind: 'won', tookOverFrom: heldBy };
  }

  const { rows } = await db.query<MarkRow>(
    `select spent_by, spent_at, spent_final from oidc_payloads
     where model = $2 and id_digest = $3 and ${IS_ALIVE}`,
    [now, model, idDigest],
  );
  const mark = rows[0];
  if (!mark) return { kind: 'missing' };
  // Released between the two statements: it is to be had again.
  if (mark.spent_by === null || mark.spent_at === null) {
    return spendPayload(db, model, idDigest, { spender, now, leaseUntil });
  }
  if (mark.spent_by === spender) return { kind: 'won' };
  return { kind: 'lost', by: mark.spent_by, isFinal: mark.spent_final, at: mark.spent_at };
}

export async function confirmSpentPayload(
  db: Queryable,
  model: Model,
  idDigest: string,
  spender: string,
): Promise<void> {
  await db.query(
    `update oidc_payloads set spent_final = true
     where model = $1 and id_digest = $2 and spent_by = $3 and ended_at is null and not spent_final`,
    [model, idDigest, spender],
    { name: 'oidc_confirm_spent' },
  );
}

export async function releaseSpentPayload(
  db: Queryable,
  model: Model,
  idDigest: string,
  spender: string,
): Promise<void> {
  await db.query(
    `update oidc_payloads set spent_by = null, spent_at = null, lease_until = null
     where model = $1 and id_digest = $2 and spent_by = $3 and not spent_final`,
    [model, idDigest, spender],
  );
}
