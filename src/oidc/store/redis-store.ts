import { AppError } from '../../platform/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import { digest } from '../../platform/ids.ts';
import { isRedisCluster, type Redis } from '../../platform/redis.ts';
import type { Sealer } from '../../platform/seal.ts';
import { observeStore, type OnOperation } from './observed-store.ts';
import { POLL_LENIENCY_MS, TOMBSTONE_SECONDS } from './port.ts';
import type { Model, OidcStore, Spending, StandingModel, StandingToken, StoredPayload } from './port.ts';
import { grantDigestOf, idDigestOf, standsOn, toPayload, toRecord, userCodeDigestOf } from './records.ts';
import { createScriptRunner } from './redis-runner.ts';
import { createRedisSessions } from './redis-sessions.ts';

/**
 * The store over Redis 7 or Valkey. One hash per token holds its payload, its expiry and its spend mark.
 *
 * Every operation that writes touches one key, and no two keys need to share a slot, so a Redis Cluster needs no hash
 * tags (a token's id does not tell its grant). What spans keys is ordered so that any interleaving is safe: a token and
 * its place in the grant's index are written at once; ending a grant first closes the index, then leaves a tombstone on
 * each member. A token written late meets either the closed index or its tombstone.
 *
 * Expiry is kept twice: as Redis' own, which frees the memory, and inside by our clock, which decides.
 */
export function createRedisStore({
  redis,
  keyPrefix,
  clock,
  sealer,
  onOperation,
}: {
  redis: Redis;
  /** Before each key, without its colon: "gatehouse". */
  keyPrefix: string;
  clock: Clock;
  sealer: Sealer;
  onOperation?: OnOperation | undefined;
}): OidcStore {
  const payloadKey = (model: Model, idDigest: string): string => `${keyPrefix}:${model}:${idDigest}`;
  const indexKey = (grantDigest: string): string => `${keyPrefix}:grant-tokens:${grantDigest}`;
  const userCodeKey = (userCodeDigest: string): string => `${keyPrefix}:user-code:${userCodeDigest}`;
  const markKey = (key: string): string => `${keyPrefix}:mark:${digest(key)}`;
  const pollKey = (key: string): string => `${keyPrefix}:poll:${digest(key)}`;
  const answerKey = (key: string): string => `${keyPrefix}:answer:${digest(key)}`;
  const keyOf = (model: Model, id: string): string => payloadKey(model, idDigestOf(model, id));

  const now = (): number => clock.now().getTime();
  const runScript = createScriptRunner(redis, keyPrefix);
  const sessions = createRedisSessions({ redis, runScript, keyPrefix, clock, sealer });

  const put = async (
    key: string,
    body: string,
    ttlMs: number | undefined,
    fields: readonly string[] = [],
  ): Promise<boolean> => {
    const expires = ttlMs === undefined ? '' : now() + ttlMs;
    return (await runScript('PUT', key, [body, expires, ttlMs ?? '', ...fields])) === 1;
  };

  const end = async (key: string): Promise<void> => {
    await runScript('END', key, [TOMBSTONE_SECONDS * 1000]);
  };

  const endTokensOf = async (grantDigest: string): Promise<void> => {
    const members = (await redis.zrange(indexKey(grantDigest), '0', '-1')).filter((name) => name !== 'ended');
    if (members.length === 0) return;
    await Promise.all(members.map((member) => end(`${keyPrefix}:${member}`)));
    await redis.zrem(indexKey(grantDigest), ...members);
  };

  const read = async (model: Model, idDigest: string, id?: string): Promise<StoredPayload | undefined> =>
    present(await redis.hgetall(payloadKey(model, idDigest)), model, idDigest, id);

  const present = (
    { body, expires, by, at, lease, final }: Record<string, string>,
    model: Model,
    idDigest: string,
    id?: string,
  ): StoredPayload | undefined => {
    if (body === undefined || (expires && Number(expires) <= now())) return undefined;
    const isSpent = by !== undefined && (final === '1' || Number(lease) > now());
    return toPayload(sealer, model, {
      idDigest,
      body: JSON.parse(body) as object,
      ...(id === undefined ? {} : { id }),
      spentAt: isSpent ? new Date(Number(at)) : undefined,
    });
  };

  const findStandingAtOnce = async (model: StandingModel, id: string): Promise<StandingToken | undefined> => {
    const idDigest = idDigestOf(model, id);
    const prefixes = [`${keyPrefix}:Grant:`, sessions.hashKeyPrefix];
    const reply = await runScript('READ_STANDING', payloadKey(model, idDigest), prefixes);
    const [own = {}, grantHash = {}, sessionHash = {}] = (reply as string[][]).map(toHash);
    const token = present(own, model, idDigest, id);
    return token && withMissing(token, { grant: grantHash, session: sessionHash });
  };

  /** What the script did not find is asked for by its key: it has ended, or lies on another shard behind one address. */
  const withMissing = async (
    token: StoredPayload,
    hashes: Record<'grant' | 'session', Record<string, string>> = { grant: {}, session: {} },
  ): Promise<StandingToken> => {
    const { grantId, sessionUid } = standsOn(token);
    const [grant, session] = await Promise.all([
      grantId === undefined
        ? undefined
        : (present(hashes.grant, 'Grant', grantDigestOf(grantId), grantId) ??
          read('Grant', grantDigestOf(grantId), grantId)),
      sessionUid === undefined
        ? undefined
        : (sessions.present(hashes.session) ?? sessions.findByUid(sessionUid)),
    ]);
    return { token, grant, session };
  };

  const findStandingByKeys = async (model: StandingModel, id: string): Promise<StandingToken | undefined> => {
    const token = await read(model, idDigestOf(model, id), id);
    return token && withMissing(token);
  };

  const store: OidcStore = {
    upsert: async (model, id, payload, ttlSeconds) => {
      if (model === 'Session') {
        if (ttlSeconds === undefined) throw new TypeError('a session needs a time to live');
        await sessions.saveSession(id, payload, ttlSeconds);
        return;
      }
      const { idDigest, body, grantDigest, uidDigest, userCodeDigest } = toRecord(sealer, model, id, payload);
      const key = payloadKey(model, idDigest);
      const ttlMs = ttlSeconds === undefined ? undefined : Math.round(ttlSeconds * 1000);
      const [isWritten, isIndexed] = await Promise.all([
        put(key, JSON.stringify(body), ttlMs, [
          ...(grantDigest === undefined ? [] : ['grant', grantDigest]),
          ...(uidDigest === undefined ? [] : ['session', uidDigest]),
        ]),
        grantDigest === undefined
          ? true
          : runScript('INDEX_ADD', indexKey(grantDigest), [
              `${model}:${idDigest}`,
              ttlMs === undefined ? '+inf' : now() + ttlMs,
              now(),
              ttlMs ?? '',
            ]).then((added) => added === 1),
        userCodeDigest === undefined ? undefined : put(userCodeKey(userCodeDigest), idDigest, ttlMs),
      ]);
      if (isWritten && !isIndexed) await end(key);
      if (grantDigest !== undefined && !(isWritten && isIndexed)) {
        throw new AppError('grant_ended', 400, 'The grant of this token has ended.');
      }
    },

    find: (model, id) => (model === 'Session' ? sessions.find(id) : read(model, idDigestOf(model, id), id)),
    findByUid: sessions.findByUid,
    findStanding: (model, id) =>
      isRedisCluster(redis) ? findStandingByKeys(model, id) : findStandingAtOnce(model, id),
    findByUserCode: async (userCode) => {
      const idDigest = await redis.hget(userCodeKey(userCodeDigestOf(userCode)), 'body');
      return idDigest ? read('DeviceCode', idDigest) : undefined;
    },

    destroy: async (model, id) => {
      if (model === 'Session') return sessions.destroy(id);
      if (model === 'Grant') {
        await runScript('INDEX_END', indexKey(grantDigestOf(id)), [TOMBSTONE_SECONDS * 1000]);
        await Promise.all([end(keyOf(model, id)), endTokensOf(grantDigestOf(id))]);
        return;
      }
      await end(keyOf(model, id));
    },

    revokeByGrantId: (grantId) => endTokensOf(grantDigestOf(grantId)),
    saveSession: sessions.saveSession,
    endSession: sessions.endSession,

    spend: async (model, id, { spender, leaseSeconds }) => {
      const at = now();
      return toSpending(await runScript('SPEND', keyOf(model, id), [spender, at, at + leaseSeconds * 1000]));
    },
    confirmSpent: async (model, id, spender) => {
      await runScript('CONFIRM', keyOf(model, id), [spender]);
    },
    releaseSpent: async (model, id, spender) => {
      await runScript('RELEASE', keyOf(model, id), [spender]);
    },

    markOnce: async (key, spender, ttlSeconds) => {
      const ttlMs = Math.round(ttlSeconds * 1000);
      return (await runScript('MARK', markKey(key), [spender, now(), now() + ttlMs, ttlMs])) === 1;
    },
    unmark: async (key, spender) => {
      await runScript('UNMARK', markKey(key), [spender]);
    },

    poll: async (key, { intervalSeconds, stepSeconds, ttlSeconds }) => {
      const intervalMs = Number(
        await runScript('POLL', pollKey(key), [
          now(),
          intervalSeconds * 1000,
          stepSeconds * 1000,
          POLL_LENIENCY_MS,
          Math.round(ttlSeconds * 1000),
        ]),
      );
      return intervalMs === 0
        ? { kind: 'in-time' }
        : { kind: 'too-early', intervalSeconds: intervalMs / 1000 };
    },

    putAnswer: async (key, sealed, ttlSeconds) => {
      await put(answerKey(key), sealed, Math.round(ttlSeconds * 1000));
    },
    getAnswer: async (key) => {
      const [sealed, expires] = await redis.hmget(answerKey(key), 'body', 'expires');
      return sealed && Number(expires) > now() ? sealed : undefined;
    },

    ping: async () => {
      await redis.ping();
    },
  };
  return onOperation ? observeStore(store, onOperation) : store;
}

/** A hash as a script returns it: name, value, … */
function toHash(list: readonly string[]): Record<string, string> {
  const hash: Record<string, string> = {};
  for (let index = 0; index + 1 < list.length; index += 2) hash[list[index]!] = list[index + 1]!;
  return hash;
}

function toSpending(reply: unknown): Spending {
  const [kind, by = '', at = '', final] = reply as string[];
  if (kind === 'won') return by === '' ? { kind } : { kind, tookOverFrom: by };
  if (kind === 'missing') return { kind };
  return { kind: 'lost', by, isFinal: final === '1', at: new Date(Number(at)) };
}
