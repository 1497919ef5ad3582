import type { Clock } from '../../platform/clock.ts';
import type { Redis } from '../../platform/redis.ts';
import type { Sealer } from '../../platform/seal.ts';
import { ROTATION_GRACE_SECONDS, TOMBSTONE_SECONDS } from './port.ts';
import type { OidcStore, SessionAuthorizations, StoredPayload } from './port.ts';
import {
  idDigestOf,
  joinSession,
  latestSession,
  splitSession,
  toPayload,
  toRecord,
  uidDigestOf,
} from './records.ts';
import type { RunScript } from './redis-runner.ts';

export type RedisSessions = Pick<OidcStore, 'saveSession' | 'endSession' | 'findByUid'> & {
  find: (id: string) => Promise<StoredPayload | undefined>;
  destroy: (id: string) => Promise<void>;
  /** Where a session's hash is, without the digest of its uid. */
  hashKeyPrefix: string;
  /** What `findByUid` tells of the hash, for who has read it. */
  present: (hash: Record<string, string>) => StoredPayload | undefined;
};

interface FoundSession {
  idDigest: string;
  payload: StoredPayload;
  expiresAt: number;
}

/**
 * Sessions in Redis: everything about one session in one hash by its uid, so that saving and ending are one script on
 * one key; and for each of its ids a pointer there, which alone proves nothing.
 */
export function createRedisSessions({
  redis,
  runScript,
  keyPrefix,
  clock,
  sealer,
}: {
  redis: Redis;
  runScript: RunScript;
  keyPrefix: string;
  clock: Clock;
  sealer: Sealer;
}): RedisSessions {
  const hashKeyPrefix = `${keyPrefix}:session:`;
  const hashKey = (uidDigest: string): string => `${hashKeyPrefix}${uidDigest}`;
  const pointerKey = (idDigest: string): string => `${keyPrefix}:session-id:${idDigest}`;

  const end = async (uidDigest: string): Promise<void> => {
    await runScript('END', hashKey(uidDigest), [TOMBSTONE_SECONDS * 1000]);
  };

  const read = async (uidDigest: string, id?: string): Promise<FoundSession[]> =>
    liveIn(await redis.hgetall(hashKey(uidDigest)), id);

  const liveIn = (hash: Record<string, string>, id?: string): FoundSession[] => {
    const fields = Object.entries(hash);
    const authorizations: SessionAuthorizations = Object.fromEntries(
      fields
        .filter(([field]) => field.startsWith('a:'))
        .map(([field, state]) => [field.slice(2), JSON.parse(state)]),
    );
    const now = clock.now().getTime();
    return fields
      .filter(([field]) => field.startsWith('i:'))
      .map(([field, body]) => {
        const idDigest = field.slice(2);
        const found = { idDigest, body: JSON.parse(body) as object, ...(id === undefined ? {} : { id }) };
        return {
          idDigest,
          payload: joinSession(toPayload(sealer, 'Session', found), authorizations),
          expiresAt: Number(hash[`e:${idDigest}`]),
        };
      })
      .filter(({ expiresAt }) => expiresAt > now);
  };

  return {
    find: async (id) => {
      const idDigest = idDigestOf('Session', id);
      const uidDigest = await redis.get(pointerKey(idDigest));
      if (uidDigest === null) return undefined;
      return (await read(uidDigest, id)).find((session) => session.idDigest === idDigest)?.payload;
    },

    hashKeyPrefix,
    present: (hash) => latestSession(liveIn(hash))?.payload,
    findByUid: async (uid) => latestSession(await read(uidDigestOf(uid)))?.payload,

    saveSession: async (id, payload, ttlSeconds, { baseline, replaces } = {}) => {
      const { uid, rest, granted, withdrawn } = splitSession(payload, baseline);
      const { idDigest, body } = toRecord(sealer, 'Session', id, rest);
      const uidDigest = uidDigestOf(uid);
      const now = clock.now().getTime();
      const ttlMs = Math.round(ttlSeconds * 1000);
      const grants = Object.entries(granted);
      const [saved] = await Promise.all([
        runScript('SAVE_SESSION', hashKey(uidDigest), [
          now,
          baseline === undefined ? 0 : 1,
          idDigest,
          JSON.stringify(body),
          now + ttlMs,
          ttlMs,
          replaces === undefined ? '' : idDigestOf('Session', replaces),
          now + ROTATION_GRACE_SECONDS * 1000,
          grants.length,
          ...grants.flatMap(([clientId, state]) => [clientId, JSON.stringify(state)]),
          ...withdrawn,
        ]),
        redis.set(pointerKey(idDigest), uidDigest, 'PX', Math.max(ttlMs, 1)),
      ]);
      return saved === 1 ? 'saved' : 'ended';
    },

    endSession: (uid) => end(uidDigestOf(uid)),

    destroy: async (id) => {
      const uidDigest = await redis.get(pointerKey(idDigestOf('Session', id)));
      if (uidDigest !== null) await end(uidDigest);
    },
  };
}
