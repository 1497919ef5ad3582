import { appendInTransaction } from '../audit/append.ts';
import type { Actor } from '../audit/events.ts';
import { consentKey, findEnd, insertRevocation, isCovered } from '../audit/revocations.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database, Queryable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import { findSignedIn, type SignedIn } from './signed-in.ts';

/** Whose sessions end: `sub` is what tokens know the person by, `id` what the audit log does. */
export interface Person {
  id: string;
  sub: string;
}

/** A session goes on where the person withdrew what an application of it may do. */
export interface StandingSignIn extends SignedIn {
  /** Whether they did so since, so that nothing is left there to end. */
  isWithdrawn: boolean;
}

export interface SignedOut {
  sessions: number;
  applications: number;
  /** Grants for `offline_access` that ended along with them, as the policy has it. */
  offlineGrants: number;
}

export interface SignOutService {
  /**
   * Where the account signed in and nobody ended it; sessions that merely ran out are among it, and the applications of
   * a standing session that the person signed out of or withdrew from.
   */
  list: (person: Person) => Promise<StandingSignIn[]>;
  /** Ends every session of the account. @param offline true ends its offline grants whatever the policy says */
  everywhere: (person: Person, by: Actor, options?: { offline?: boolean }) => Promise<SignedOut>;
  /** Ends one session. @throws AppError 404 `session_not_found` */
  session: (person: Person, sessionUid: string, by: Actor) => Promise<SignedOut>;
  /**
   * Signs the account out of one application, in every session: what it was given there ends, and it is told. The
   * sessions themselves go on, so the person comes back in by one click.
   */
  application: (person: Person, clientId: string, by: Actor) => Promise<SignedOut>;
}

/**
 * @param endsOfflineGrants the configured policy, which a client may override
 * @param longestGrantSeconds how long anything under a grant may live
 */
export function createSignOutService({
  db,
  clock,
  findClient,
  endsOfflineGrants,
  sessionSeconds,
  longestGrantSeconds,
}: {
  db: Database;
  clock: Clock;
  findClient: (clientId: string) => Promise<{ endsOfflineGrants?: boolean } | undefined>;
  endsOfflineGrants: boolean;
  sessionSeconds: number;
  longestGrantSeconds: number;
}): SignOutService {
  const until = (seconds: number): Date => new Date(clock.now().getTime() + seconds * 1000);
  const ago = (seconds: number): Date => new Date(clock.now().getTime() - seconds * 1000);

  const isEnding = async ({ clientId }: SignedIn): Promise<boolean> =>
    (await findClient(clientId))?.endsOfflineGrants ?? endsOfflineGrants;

  const find = async (
    tx: Queryable,
    { id, sub }: Person,
    options: { since: Date; isEndedToo?: boolean } = { since: ago(sessionSeconds) },
  ): Promise<StandingSignIn[]> => {
    const signedIn = await findSignedIn(tx, { accountId: id, isLeftToo: true, ...options });
    const withdrawnAt = await findWithdrawals(tx, sub, signedIn);
    return signedIn.map((one) => toStanding(one, withdrawnAt.get(one.clientId)));
  };

  /** Offline grants outlive sessions, so they are looked for as far back as one may reach, and in ended ones too. */
  const offlineGrants = async (tx: Queryable, person: Person): Promise<StandingSignIn[]> => {
    const all = await find(tx, person, { since: ago(longestGrantSeconds), isEndedToo: true });
    const offline = all.filter(
      ({ isOffline, isWithdrawn, grantId }) => isOffline && !isWithdrawn && grantId !== undefined,
    );
    const [endedBefore, revoked] = [
      await findEnd(tx, person.sub, ['account']),
      await findRevokedGrants(tx, offline),
    ];
    return offline.filter(
      ({ grantId = '', at }) => !revoked.has(grantId) && (!endedBefore || at > endedBefore),
    );
  };

  const revokeGrants = async (
    tx: Queryable,
    signedIn: readonly StandingSignIn[],
    reason: string,
  ): Promise<number> => {
    const standing = signedIn.filter(({ isWithdrawn }) => !isWithdrawn);
    const ids = new Set(standing.map(({ grantId }) => grantId).filter((id) => id !== undefined));
    for (const id of ids) {
      await insertRevocation(tx, { kind: 'grant', id, reason, expiresAt: until(longestGrantSeconds) });
    }
    return ids.size;
  };

  const summary = (signedIn: readonly StandingSignIn[], offline: number): SignedOut => ({
    sessions: new Set(signedIn.map(({ sessionUid }) => sessionUid)).size,
    applications: new Set(signedIn.filter(isStanding).map(({ clientId }) => clientId)).size,
    offlineGrants: offline,
  });

  return {
    list: async (person) => {
      const signedIn = await find(db, person);
      const endedBefore = await findEnd(db, person.sub, ['account', 'account_sessions']);
      return signedIn.filter(({ at }) => !endedBefore || at > endedBefore);
    },

    everywhere: (person, by, { offline = false } = {}) =>
      db.transaction(async (tx) => {
        // A sign-in of this moment waits for it, to come before or after as a whole (accounts/sign-in-time.ts).
        await tx.query('select 1 from accounts where id = $1 for no key update', [person.id]);
        const signedIn = await find(tx, person);
        // Looked for before they end.
        const grants = await offlineGrants(tx, person);
        await insertRevocation(tx, {
          kind: offline ? 'account' : 'account_sessions',
          id: person.sub,
          before: clock.now(),
          reason: 'signed out everywhere',
          expiresAt: until(offline ? longestGrantSeconds : sessionSeconds),
        });
        // Bound to no session that would take them along.
        await revokeGrants(
          tx,
          signedIn.filter((one) => one.isApart && !one.isOffline && isStanding(one)),
          'signed out everywhere',
        );
        const ending = offline ? grants : await filterAsync(grants, isEnding);
        const ended = offline
          ? new Set(ending.map(({ grantId }) => grantId)).size
          : await revokeGrants(tx, ending, 'signed out everywhere');
        const result = summary(signedIn, ended);
        await appendInTransaction(
          tx,
          {
            type: 'account.signed_out',
            outcome: 'success',
            actor: by,
            accountId: person.id,
            payload: { sessions: result.sessions, offline_grants: ended },
          },
          { clock },
        );
        return result;
      }),

    session: (person, sessionUid, by) =>
      db.transaction(async (tx) => {
        const all = await find(tx, person);
        const signedIn = all.filter((one) => one.sessionUid === sessionUid);
        if (signedIn.length === 0) {
          throw new AppError('session_not_found', 404, 'There is no such session, or it has ended.');
        }
        // Those that the person withdrew from may still show them as signed in.
        const notLeft = signedIn.filter(({ isLeft }) => !isLeft);
        const offline = await filterAsync(
          notLeft.filter(({ isOffline }) => isOffline),
          isEnding,
        );
        await insertRevocation(tx, {
          kind: 'session',
          id: sessionUid,
          reason: 'signed out',
          expiresAt: until(sessionSeconds),
        });
        const ended = await revokeGrants(tx, offline, 'signed out');
        await appendInTransaction(
          tx,
          {
            type: 'session.ended',
            outcome: 'success',
            actor: by,
            accountId: person.id,
            sessionUid,
            payload: { reason: 'signed_out', sub: person.sub, applications: notLeft.map(toRecord) },
          },
          { clock },
        );
        return summary(signedIn, ended);
      }),

    application: (person, clientId, by) =>
      db.transaction(async (tx) => {
        const all = await find(tx, person);
        const signedIn = all.filter((one) => one.clientId === clientId && isStanding(one));
        const grants = (await offlineGrants(tx, person)).filter((one) => one.clientId === clientId);
        const offline = await filterAsync(grants, isEnding);
        await revokeGrants(
          tx,
          signedIn.filter(({ isBound }) => isBound),
          'signed out of the application',
        );
        const ended = await revokeGrants(tx, offline, 'signed out of the application');
        for (const [sessionUid, inSession] of Map.groupBy(signedIn, (one) => one.sessionUid)) {
          await appendInTransaction(
            tx,
            {
              type: 'session.application_ended',
              outcome: 'success',
              actor: by,
              accountId: person.id,
              clientId,
              sessionUid,
              payload: { reason: 'signed_out', sub: person.sub, applications: inSession.map(toRecord) },
            },
            { clock },
          );
        }
        return summary(signedIn, ended);
      }),
  };
}

/** When what the person let each of those clients do was last withdrawn, by the client's id. */
async function findWithdrawals(
  db: Queryable,
  sub: string,
  signedIn: readonly SignedIn[],
): Promise<ReadonlyMap<string, Date>> {
  const byKey = new Map(signedIn.map(({ clientId }) => [consentKey({ sub, clientId }), clientId]));
  if (byKey.size === 0) return new Map();
  const { rows } = await db.query<{ subject: string; before: Date }>(
    `select subject, max(before) as before from revocations
      where kind = 'consent' and subject = any ($1) group by subject`,
    [[...byKey.keys()]],
  );
  return new Map(rows.map(({ subject, before }) => [byKey.get(subject)!, before]));
}

async function findRevokedGrants(db: Queryable, grants: readonly SignedIn[]): Promise<ReadonlySet<string>> {
  const { rows } = await db.query<{ subject: string }>(
    `select subject from revocations where kind = 'grant' and subject = any ($1)`,
    [grants.map(({ grantId }) => grantId)],
  );
  return new Set(rows.map(({ subject }) => subject));
}

/** Whether something is left there to end. */
function isStanding({ isLeft, isWithdrawn }: Pick<StandingSignIn, 'isLeft' | 'isWithdrawn'>): boolean {
  return !isLeft && !isWithdrawn;
}

function toStanding(one: SignedIn, withdrawnAt: Date | undefined): StandingSignIn {
  return { ...one, isWithdrawn: withdrawnAt !== undefined && isCovered(withdrawnAt, one.at) };
}

function toRecord({ clientId, sid }: SignedIn): { client_id: string; sid?: string } {
  return { client_id: clientId, ...(sid === undefined ? {} : { sid }) };
}

async function filterAsync<T>(items: readonly T[], isWanted: (item: T) => Promise<boolean>): Promise<T[]> {
  const kept: T[] = [];
  for (const item of items) if (await isWanted(item)) kept.push(item);
  return kept;
}
