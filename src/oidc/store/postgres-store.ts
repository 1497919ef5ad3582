import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database.ts';
import { AppError } from '../../platform/errors.ts';
import { digest } from '../../platform/ids.ts';
import type { Sealer } from '../../platform/seal.ts';
import { observeStore, type OnOperation } from './observed-store.ts';
import { ROTATION_GRACE_SECONDS, TOMBSTONE_SECONDS } from './port.ts';
import type { Model, OidcStore, StoredPayload } from './port.ts';
import * as payloads from './postgres-payloads.ts';
import { countPoll } from './postgres-polls.ts';
import * as sessions from './postgres-sessions.ts';
import {
  grantDigestOf,
  idDigestOf,
  joinSession,
  latestSession,
  splitSession,
  standsOn,
  toPayload,
  toRecord,
  uidDigestOf,
  userCodeDigestOf,
} from './records.ts';

/**
 * The store over PostgreSQL, where no Redis is configured. Each operation is one statement, atomic by itself (ending a
 * grant is two, in an order that is safe); so it holds at `read committed` and needs no transaction of its own.
 *
 * The clock that is passed decides what has expired, never the database's: one clock for both stores.
 */
export function createPostgresStore({
  db,
  clock,
  sealer,
  onOperation,
}: {
  db: Database;
  clock: Clock;
  sealer: Sealer;
  onOperation?: OnOperation | undefined;
}): OidcStore {
  const after = (seconds: number): Date => new Date(clock.now().getTime() + seconds * 1000);
  const ending = (): { now: Date; forgetAt: Date } => ({
    now: clock.now(),
    forgetAt: after(TOMBSTONE_SECONDS),
  });

  const present = (
    model: Model,
    row: payloads.PayloadRow | undefined,
    id?: string,
  ): StoredPayload | undefined =>
    row &&
    toPayload(sealer, model, {
      idDigest: row.id_digest,
      body: row.payload,
      ...(id === undefined ? {} : { id }),
      spentAt: row.spent_at ?? undefined,
    });

  const presentSession = (row: Omit<sessions.SessionRow, 'expires_at'>, id?: string): StoredPayload =>
    joinSession(
      toPayload(sealer, 'Session', {
        idDigest: row.id_digest,
        body: row.payload,
        ...(id === undefined ? {} : { id }),
      }),
      row.authorizations ?? {},
    );

  const presentGrant = (body: object | null, grantId: string): StoredPayload | undefined =>
    body === null
      ? undefined
      : toPayload(sealer, 'Grant', { idDigest: grantDigestOf(grantId), body, id: grantId });

  const presentLatest = (rows: NonNullable<payloads.StandingRow['sessions']>): StoredPayload | undefined =>
    latestSession(
      rows.map((row) => ({ payload: presentSession(row), expiresAt: new Date(row.expires_at).getTime() })),
    )?.payload;

  const findByUid: OidcStore['findByUid'] = async (uid) =>
    presentLatest(await sessions.findSessionsByUid(db, uidDigestOf(uid), clock.now()));

  const saveSession: OidcStore['saveSession'] = (id, payload, ttlSeconds, { baseline, replaces } = {}) => {
    const { uid, rest, granted, withdrawn } = splitSession(payload, baseline);
    const { idDigest, body } = toRecord(sealer, 'Session', id, rest);
    return sessions.saveSession(db, {
      idDigest,
      uidDigest: uidDigestOf(uid),
      body,
      granted,
      withdrawn,
      isNew: baseline === undefined,
      replacedIdDigest: replaces === undefined ? undefined : idDigestOf('Session', replaces),
      now: clock.now(),
      expiresAt: after(ttlSeconds),
      graceUntil: after(ROTATION_GRACE_SECONDS),
    });
  };

  const store: OidcStore = {
    upsert: async (model, id, payload, ttlSeconds) => {
      if (model === 'Session') {
        if (ttlSeconds === undefined) throw new TypeError('a session needs a time to live');
        await saveSession(id, payload, ttlSeconds);
        return;
      }
      const record = toRecord(sealer, model, id, payload);
      const expiresAt = ttlSeconds === undefined ? undefined : after(ttlSeconds);
      const isWritten = await payloads.putPayload(db, model, record, expiresAt);
      if (!isWritten && record.grantDigest !== undefined) {
        throw new AppError('grant_ended', 400, 'The grant of this token has ended.');
      }
    },

    find: async (model, id) => {
      const idDigest = idDigestOf(model, id);
      if (model !== 'Session') {
        return present(model, await payloads.findPayload(db, model, idDigest, clock.now()), id);
      }
      const row = await sessions.findSession(db, idDigest, clock.now());
      return row && presentSession(row, id);
    },
    findByUid,
    findStanding: async (model, id) => {
      const row = await payloads.findStandingPayload(db, model, idDigestOf(model, id), clock.now());
      const token = present(model, row, id);
      if (!row || !token) return undefined;
      const { grantId, sessionUid } = standsOn(token);
      return {
        token,
        grant: grantId === undefined ? undefined : presentGrant(row.grant_payload, grantId),
        session:
          sessionUid === undefined
            ? undefined
            : row.sessions
              ? presentLatest(row.sessions)
              : await findByUid(sessionUid),
      };
    },
    findByUserCode: async (userCode) =>
      present(
        'DeviceCode',
        await payloads.findPayloadByUserCode(db, userCodeDigestOf(userCode), clock.now()),
      ),

    destroy: async (model, id) => {
      const idDigest = idDigestOf(model, id);
      if (model === 'Session') return sessions.endSession(db, { idDigest }, ending());
      await payloads.endPayload(db, model, idDigest, ending());
      // A statement of its own: its snapshot sees every token that was written before the grant could be ended.
      if (model === 'Grant') await payloads.endPayloadsOfGrant(db, idDigest, ending());
    },
    revokeByGrantId: (grantId) => payloads.endPayloadsOfGrant(db, grantDigestOf(grantId), ending()),
    saveSession,
    endSession: (uid) => sessions.endSession(db, { uidDigest: uidDigestOf(uid) }, ending()),

    spend: (model, id, { spender, leaseSeconds }) =>
      payloads.spendPayload(db, model, idDigestOf(model, id), {
        spender,
        now: clock.now(),
        leaseUntil: after(leaseSeconds),
      }),
    confirmSpent: (model, id, spender) =>
      payloads.confirmSpentPayload(db, model, idDigestOf(model, id), spender),
    releaseSpent: (model, id, spender) =>
      payloads.releaseSpentPayload(db, model, idDigestOf(model, id), spender),

    markOnce: async (key, spender, ttlSeconds) => {
      const { rowCount } = await db.query(
        `insert into oidc_marks (key_digest, spender, expires_at) values ($1, $2, $3)
         on conflict (key_digest) do update set spender = excluded.spender, expires_at = excluded.expires_at
         where oidc_marks.expires_at <= $4`,
        [digest(key), spender, after(ttlSeconds), clock.now()],
      );
      return rowCount > 0;
    },
    unmark: async (key, spender) => {
      await db.query('delete from oidc_marks where key_digest = $1 and spender = $2', [digest(key), spender]);
    },

    poll: (key, { intervalSeconds, stepSeconds, ttlSeconds }) =>
      countPoll(db, {
        keyDigest: digest(key),
        now: clock.now(),
        intervalMs: intervalSeconds * 1000,
        stepMs: stepSeconds * 1000,
        expiresAt: after(ttlSeconds),
      }),

    putAnswer: async (key, sealed, ttlSeconds) => {
      await db.query(
        `insert into oidc_answers (key_digest, sealed, expires_at) values ($1, $2, $3)
         on conflict (key_digest) do update set sealed = excluded.sealed, expires_at = excluded.expires_at`,
        [digest(key), sealed, after(ttlSeconds)],
        { name: 'oidc_put_answer' },
      );
    },
    getAnswer: async (key) => {
      const { rows } = await db.query<{ sealed: string }>(
        'select sealed from oidc_answers where key_digest = $1 and expires_at > $2',
        [digest(key), clock.now()],
      );
      return rows[0]?.sealed;
    },

    ping: () => db.ping(),
  };
  return onOperation ? observeStore(store, onOperation) : store;
}
