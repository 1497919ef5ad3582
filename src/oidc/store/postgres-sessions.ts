import type { Queryable } from '../../platform/database.ts';
import type { SessionAuthorizations, SessionSaving } from './port.ts';

/** One id of a session that is alive, and what the whole session lets its clients know. */
export interface SessionRow {
  id_digest: string;
  payload: object;
  expires_at: Date;
  authorizations: SessionAuthorizations | null;
}

/** The ids that are alive at `$1`, as SessionRows; goes on with `and`. */
export const SESSION_QUERY = `
  select p.id_digest, p.payload, p.expires_at,
    (select json_object_agg(a.client_id, a.state) from oidc_session_authorizations a
     where a.uid_digest = s.uid_digest) as authorizations
  from oidc_payloads p join oidc_sessions s using (uid_digest)
  where p.model = 'Session' and p.ended_at is null and s.ended_at is null and p.expires_at > $1`;

export async function findSession(
  db: Queryable,
  idDigest: string,
  now: Date,
): Promise<SessionRow | undefined> {
  const { rows } = await db.query<SessionRow>(`${SESSION_QUERY} and p.id_digest = $2`, [now, idDigest], {
    name: 'oidc_find_session',
  });
  return rows[0];
}

export async function findSessionsByUid(db: Queryable, uidDigest: string, now: Date): Promise<SessionRow[]> {
  const { rows } = await db.query<SessionRow>(`${SESSION_QUERY} and p.uid_digest = $2`, [now, uidDigest], {
    name: 'oidc_find_sessions_by_uid',
  });
  return rows;
}

/**
 * One statement, which begins by locking the session's row: saves of one session follow each other, and none follows
 * its end.
 */
export async function saveSession(
  db: Queryable,
  session: {
    idDigest: string;
    uidDigest: string;
    body: object;
    granted: SessionAuthorizations;
    withdrawn: readonly string[];
    isNew: boolean;
    replacedIdDigest: string | undefined;
    now: Date;
    expiresAt: Date;
    graceUntil: Date;
  },
): Promise<SessionSaving> {
  const alive = session.isNew
    ? `insert into oidc_sessions (uid_digest, expires_at) values ($2, $4)
       on conflict (uid_digest) do update
       set expires_at = greatest(oidc_sessions.expires_at, excluded.expires_at)
       where oidc_sessions.ended_at is null
       returning uid_digest`
    : `update oidc_sessions set expires_at = greatest(expires_at, $4)
       where uid_digest = $2 and ended_at is null and expires_at > $1
       returning uid_digest`;
  const { rows } = await db.query<{ is_saved: boolean }>(
    `with alive as (${alive}),
     saved as (
       insert into oidc_payloads (model, id_digest, payload, uid_digest, expires_at)
       select 'Session', $3, $5::json, uid_digest, $4 from alive
       on conflict (model, id_digest) do update
       set payload = excluded.payload, expires_at = excluded.expires_at
       where oidc_payloads.ended_at is null
     ),
     replaced as (
       update oidc_payloads p set expires_at = least(p.expires_at, $7)
       from alive
       where p.model = 'Session' and p.id_digest = $6 and p.id_digest <> $3 and p.uid_digest = alive.uid_digest
     ),
     granted as (
       insert into oidc_session_authorizations (uid_digest, client_id, state)
       select alive.uid_digest, g.key, g.value from alive, json_each($8::json) g
       on conflict (uid_digest, client_id) do update set state = excluded.state
     ),
     withdrawn as (
       delete from oidc_session_authorizations a using alive
       where a.uid_digest = alive.uid_digest and a.client_id = any($9::text[])
     )
     select exists (select 1 from alive) and $1::timestamptz is not null as is_saved`,
    [
      session.now,
      session.uidDigest,
      session.idDigest,
      session.expiresAt,
      JSON.stringify(session.body),
      session.replacedIdDigest ?? null,
      session.graceUntil,
      JSON.stringify(session.granted),
      session.withdrawn,
    ],
    { name: session.isNew ? 'oidc_begin_session' : 'oidc_save_session' },
  );
  return rows[0]?.is_saved ? 'saved' : 'ended';
}

/** The row stays as a tombstone until `forgetAt`; ids that a save adds at this very moment are not found without it. */
export async function endSession(
  db: Queryable,
  session: { uidDigest: string } | { idDigest: string },
  { now, forgetAt }: { now: Date; forgetAt: Date },
): Promise<void> {
  const uidDigest =
    'uidDigest' in session
      ? `select $1`
      : `select uid_digest from oidc_payloads where model = 'Session' and id_digest = $1`;
  await db.query(
    `with ended as (
       update oidc_sessions set ended_at = $2, expires_at = $3
       where uid_digest = (${uidDigest}) and ended_at is null
       returning uid_digest
     ),
     ids as (
       delete from oidc_payloads p using ended where p.uid_digest = ended.uid_digest
     )
     delete from oidc_session_authorizations a using ended where a.uid_digest = ended.uid_digest`,
    ['uidDigest' in session ? session.uidDigest : session.idDigest, now, forgetAt],
  );
}
