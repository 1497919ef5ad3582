import type { Queryable } from '../platform/database.ts';

/** An application that a person signed in to, in one session. */
export interface SignedIn {
  clientId: string;
  sessionUid: string;
  /** When it last was let in there. */
  at: Date;
  grantId?: string;
  /** The session's name there, for applications that are told it. */
  sid?: string;
  /** Whether the grant holds `offline_access`, from whichever of its authorizations. */
  isOffline: boolean;
  /** Whether one of them was without it, so that there are tokens bound to the session. */
  isBound: boolean;
  /** Approved away from the application's own browser (approvals/), so that no session ends it. */
  isApart: boolean;
  /** Whether the person signed out of the application since, while the session went on. */
  isLeft: boolean;
}

interface SignedInRow {
  client_id: string;
  session_uid: string;
  at: Date;
  grant_id: string | null;
  sid: string | null;
  is_offline: boolean;
  is_bound: boolean;
  is_apart: boolean;
  is_left: boolean;
}

/**
 * Where the account is signed in, as the audit log has it: every authorization and approval since then, of a device too,
 * whose session, or whose application in it, has not been signed out. Sessions that merely ran out are among them: being
 * told of one's end twice does no harm.
 *
 * @param isLeftToo also the applications that the person signed out of alone: their session stands
 * @param isEndedToo also what was signed out since: offline grants may have outlived it
 * @param beforeSeq a place in the chain: what came later is not seen
 */
export async function findSignedIn(
  db: Queryable,
  {
    accountId,
    since,
    isLeftToo = false,
    isEndedToo = false,
    beforeSeq,
  }: { accountId: string; since: Date; isLeftToo?: boolean; isEndedToo?: boolean; beforeSeq?: string },
): Promise<SignedIn[]> {
  const { rows } = await db.query<SignedInRow>(
    `select distinct on (client_id, session_uid, grant_id)
            client_id, session_uid, at, grant_id, payload ->> 'sid' as sid,
            bool_or(is_offline) over same_grant as is_offline,
            bool_or(not is_offline) over same_grant as is_bound,
            type = 'approval.approved' as is_apart,
            is_left
       from audit_events a
      cross join lateral (
        select coalesce('offline_access' = any (string_to_array(payload ->> 'scope', ' ')), false) as is_offline
      ) scope
      cross join lateral (
        select coalesce(bool_or(e.type = 'session.ended'), false) as is_ended,
               coalesce(bool_or(e.type = 'session.application_ended' and e.client_id = a.client_id), false) as is_left
          from audit_events e
         where e.account_id = a.account_id and e.at >= a.at and e.session_uid = a.session_uid
           and (e.seq > a.seq or e.seq is null) and ($3::bigint is null or e.seq < $3::bigint)
           and e.type in ('session.ended', 'session.application_ended')
      ) since
      where account_id = $1 and at > $2 and type in ('authorization.succeeded', 'device.approved', 'approval.approved')
        and outcome = 'success' and session_uid is not null and client_id is not null
        and ($3::bigint is null or seq < $3::bigint)
        and ($4 or (not is_ended and ($5 or not is_left)))
      window same_grant as (partition by client_id, session_uid, grant_id, (is_left and not $4))
      order by client_id, session_uid, grant_id, a.at desc, a.seq desc nulls first`,
    [accountId, since, beforeSeq ?? null, isEndedToo, isLeftToo],
  );
  return rows.map(toSignedIn);
}

function toSignedIn(row: SignedInRow): SignedIn {
  return {
    clientId: row.client_id,
    sessionUid: row.session_uid,
    at: row.at,
    isOffline: row.is_offline,
    isBound: row.is_bound,
    isApart: row.is_apart,
    isLeft: row.is_left,
    ...(row.grant_id === null ? {} : { grantId: row.grant_id }),
    ...(row.sid === null ? {} : { sid: row.sid }),
  };
}
