/**
 * Keys: what tokens and cookies are signed with.
 *
 * This folder owns the tables `signing_keys` and `cookie_keys`. It holds that each algorithm has one key that signs,
 * that a key is published before it signs and after it signed, and that private parts are sealed at rest. What a key
 * does at a moment follows from its times alone (keyset.ts), so no job has to run for a rotation to go on.
 *
 * Elsewhere: swapping the provider when the keys change (oidc/), the sealing (platform/seal.ts).
 */
import type { JWK } from 'jose';

import type { Actor } from '../audit/events.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database, Queryable } from '../platform/database.ts';
import { AppError } from '../platform/errors.ts';
import type { Sealer } from '../platform/seal.ts';
import { bumpVersion } from '../platform/version-watch.ts';
import { addNextCookieKey, insertMissingCookieKeys, listCookieKeys, orderCookieKeys } from './cookie-keys.ts';
import { type EndedTokens, recordEndedTokens } from './ended-tokens.ts';
import type { ExternalSigner } from './external.ts';
import { type GeneratedKey, generateSigningKey } from './generate.ts';
import { after, stateAt, type RotationTimes } from './keyset.ts';
import { presentKey, recordKey, retireKey, rotateKey } from './rotation.ts';
import { areCookieKeysDue, dueForRotation, type RotationSchedule } from './schedule.ts';
import { DEFAULT_SIGNING_ALGS, type KeyTimes, type SigningAlg, type SigningKey } from './signing-key.ts';
import { signJwt } from './sign.ts';
import { erasePrivateParts, insertKey, listKeys, lockKeys } from './store.ts';
import { createKeyView, KEYS_VERSION, type Keyset } from './view.ts';

const SYSTEM: Actor = { kind: 'system', name: 'keys' };
/** A process whose clock is slow may still load a key that has just left the JWKS. */
const ERASE_AFTER_SECONDS = 3_600;

export interface KeyService {
  /** Makes the signing and cookie keys that are missing; safe when several processes start at once. */
  ensureKeys: () => Promise<void>;
  /** Loads the keys and begins to watch for changes. */
  start: () => Promise<void>;
  stop: () => Promise<void>;
  /**
   * Signs a JWT with the key of that algorithm that signs now.
   *
   * @throws Error where there is none; AppError 503 `signing_unavailable`
   */
  signJwt: (jwt: { typ: string; alg: string; claims: object }) => Promise<string>;
  /** For keys whose private part is with the signing service. @throws AppError 503 `signing_unavailable` */
  signExternally: (publicJwk: JWK, input: Uint8Array) => Promise<Uint8Array>;
  /** The keys of now. @throws Error before `start` */
  keyset: () => Keyset;
  /** At least two; the first signs, every one verifies. @throws Error before `start` */
  cookieKeys: () => string[];
  /** Newest first, those removed included. */
  list: () => Promise<SigningKey[]>;
  /**
   * Makes the next key of one algorithm, or of each. It signs once every relying party has had time to see it, or at
   * once with `immediately` (which also brings a waiting next key forward).
   *
   * @returns the new keys
   * @throws AppError `rotation_under_way` (409) where a next key waits already
   */
  rotate: (options: { alg?: SigningAlg; immediately?: boolean }, by: Actor) => Promise<SigningKey[]>;
  /**
   * Ends a key: the current one hands over to its next at once and stays published until its tokens have expired; a
   * next one is dropped. With `withdrawNow` (a key that leaked) it leaves the JWKS at once, and its tokens with it.
   *
   * @throws AppError `key_not_found` (404), `only_signing_key` (409), `key_already_retired` (409)
   */
  retire: (kid: string, by: Actor, options?: { withdrawNow?: boolean }) => Promise<SigningKey>;
  /**
   * Withdraws a key that leaked, in one stroke: it leaves the JWKS of every process, and where it was the one that signs
   * the next key, or a new one, signs in its place.
   *
   * @throws AppError `key_not_found` (404), `key_already_retired` (409)
   */
  withdraw: (kid: string, by: Actor) => Promise<SigningKey>;
  /**
   * Which tokens ended with a key that was withdrawn. Apart from that, because it reads all that was issued lately: the
   * larger the log the longer it takes, and a key that leaked waits for nothing.
   */
  recordEnded: (key: Pick<SigningKey, 'kid' | 'alg'>, by: Actor) => Promise<EndedTokens[]>;
  /** Makes the next key of each algorithm whose current one is old enough. @returns the new keys */
  rotateDue: () => Promise<SigningKey[]>;
  /** Makes a new cookie key, which signs once every process knows it. */
  rotateCookieKeys: (by: Actor) => Promise<void>;
  /** Called in this process whenever `keyset()` or `cookieKeys()` changed: by time or by anybody's doing. */
  onChange: (listener: () => void) => () => void;
}

/**
 * @param publishBeforeSigningSeconds how long relying parties see a key before it signs
 * @param longestTokenSeconds how long anything that these keys signed must be verifiable: the longest-lived JWT, and
 *   as long as an ID token may come back as `id_token_hint` (RP-Initiated Logout §2), which is a session's life
 * @param longestCookieSeconds how long the longest-lived signed cookie lasts
 * @param rotateAfterSeconds how long a key signs before `rotateDue` has the next one take over; 0: for ever
 * @param algorithms those that have keys; one that had a key before keeps it
 * @param external holds the private keys of some algorithms; those that were made here before go on until rotated
 * @param onError told when the keys cannot be read; the last ones known stay in use
 */
export function createKeyService({
  db,
  clock,
  sealer,
  publishBeforeSigningSeconds,
  longestTokenSeconds,
  longestCookieSeconds = longestTokenSeconds,
  rotateAfterSeconds = 0,
  algorithms = DEFAULT_SIGNING_ALGS,
  external,
  pollIntervalMs = 1_000,
  onError = () => {},
}: {
  db: Database;
  clock: Clock;
  sealer: Sealer;
  longestCookieSeconds?: number;
  rotateAfterSeconds?: number;
  algorithms?: readonly SigningAlg[];
  external?: ExternalSigner | undefined;
  pollIntervalMs?: number;
  onError?: (error: Error) => void;
} & RotationTimes): KeyService {
  const times: RotationTimes = { publishBeforeSigningSeconds, longestTokenSeconds };
  const schedule: RotationSchedule = { rotateAfterSeconds, publishBeforeSigningSeconds };
  const view = createKeyView({ db, clock, sealer, pollIntervalMs, onError });

  const obtainKey = async (alg: SigningAlg): Promise<GeneratedKey> => {
    if (!external?.algorithms.includes(alg)) return generateSigningKey(alg);
    return external.newKey(alg, new Set((await listKeys(db)).map(({ kid }) => kid)));
  };

  /** One change: made, recorded and announced in one transaction, one at a time among all processes. */
  const change = async <T>(work: (tx: Queryable) => Promise<T>): Promise<T> => {
    const result = await db.transaction(async (tx) => {
      await lockKeys(tx);
      const made = await work(tx);
      await erasePrivateParts(tx, after(clock.now(), -ERASE_AFTER_SECONDS));
      await bumpVersion(tx, KEYS_VERSION);
      return made;
    });
    await view.reload();
    return result;
  };

  const addCookieKey = async (tx: Queryable, by: Actor): Promise<void> => {
    const kid = await addNextCookieKey(tx, sealer, clock.now(), longestCookieSeconds);
    const payload = { kid, alg: 'HMAC', use: 'cookie', state: 'next' };
    await recordKey({ tx, clock }, { type: 'key.created', payload }, by);
  };

  return {
    ensureKeys: async () => {
      const wanted = await missingAlgs(db, algorithms);
      const cookieKeys = orderCookieKeys(await listCookieKeys(db), clock.now());
      if (wanted.length === 0 && cookieKeys.length >= 2) return;
      // Made before the lock is taken: who loses the race throws theirs away, and nobody waits for RSA.
      const generated = new Map(
        await Promise.all(wanted.map(async (alg) => [alg, await obtainKey(alg)] as const)),
      );
      await change(async (tx) => {
        const now = clock.now();
        for (const alg of await missingAlgs(tx, algorithms)) {
          const key = generated.get(alg) ?? (await obtainKey(alg));
          await insertKey(tx, sealer, key, { alg, createdAt: now, activatesAt: now });
          const payload = { kid: key.kid, alg, state: 'current' };
          await recordKey({ tx, clock }, { type: 'key.created', payload }, SYSTEM);
        }
        await insertMissingCookieKeys(tx, sealer, now);
      });
    },

    start: view.start,
    stop: view.stop,
    keyset: view.keyset,
    signJwt: (jwt) => signJwt(view.keyset(), external, jwt),
    signExternally: async (publicJwk, input) => {
      if (!external) throw new Error('no signing service is configured (keys.externalUrl)');
      return external.sign(publicJwk, input);
    },
    cookieKeys: view.cookieKeys,
    onChange: view.onChange,
    list: async () => (await listKeys(db)).map((key) => presentKey(key, clock.now())),

    rotate: async ({ alg: only, immediately = false }, by) => {
      const algs = only === undefined ? algorithms : [only];
      const generated = await Promise.all(
        algs.map(async (alg) => ({ alg, generated: await obtainKey(alg) })),
      );
      return change(async (tx) => {
        const rotated: SigningKey[] = [];
        for (const key of generated) {
          rotated.push(await rotateKey({ tx, clock, sealer, times }, { ...key, immediately }, by));
        }
        return rotated;
      });
    },

    retire: (kid, by, { withdrawNow = false } = {}) =>
      change((tx) => retireKey({ tx, clock, times }, { kid, withdrawNow }, by)),

    withdraw: async (kid, by) => {
      // Made before the lock is taken, and asked for only where one is needed: a key that leaked must go also while the
      // signing service is away.
      const alg = algLeftAlone(await listKeys(db), kid, clock.now());
      const spare = alg && (await obtainKey(alg).catch(undefinedWhereNoneIsOffered));
      return change(async (tx) => {
        const now = clock.now();
        const keys = await listKeys(tx);
        if (alg && spare && algLeftAlone(keys, kid, now) === alg) {
          const generated = { alg, immediately: true, generated: spare };
          await rotateKey({ tx, clock, sealer, times }, generated, by);
        }
        return retireKey({ tx, clock, times }, { kid, withdrawNow: true }, by);
      });
    },
    recordEnded: (key, by) => recordEndedTokens({ db, clock, longestTokenSeconds }, key, by),

    rotateDue: async () => {
      const due = dueForRotation(await listKeys(db), clock.now(), schedule);
      const areCookiesDue = areCookieKeysDue(await listCookieKeys(db), clock.now(), schedule);
      if (due.length === 0 && !areCookiesDue) return [];
      const obtained = await Promise.allSettled(
        due.map(async (alg) => ({ alg, generated: await obtainKey(alg) })),
      );
      for (const one of obtained) if (one.status === 'rejected') onError(one.reason as Error);
      const generated = obtained.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      return change(async (tx) => {
        const now = clock.now();
        const stillDue = new Set(dueForRotation(await listKeys(tx), now, schedule));
        const rotated: SigningKey[] = [];
        for (const key of generated.filter(({ alg }) => stillDue.has(alg))) {
          const next = { ...key, immediately: false };
          rotated.push(await rotateKey({ tx, clock, sealer, times }, next, SYSTEM));
        }
        if (areCookieKeysDue(await listCookieKeys(tx), now, schedule)) await addCookieKey(tx, SYSTEM);
        return rotated;
      });
    },

    rotateCookieKeys: (by) => change((tx) => addCookieKey(tx, by)),
  };
}

/** The algorithm that nothing would sign with any more if that key went. */
function algLeftAlone(keys: readonly KeyTimes[], kid: string, now: Date): SigningAlg | undefined {
  const key = keys.find((candidate) => candidate.kid === kid);
  if (!key || stateAt(key, now) !== 'current') return undefined;
  const hasNext = keys.some((other) => other.alg === key.alg && stateAt(other, now) === 'next');
  return hasNext ? undefined : key.alg;
}

function undefinedWhereNoneIsOffered(error: unknown): undefined {
  if (error instanceof AppError && error.code === 'no_new_external_key') return undefined;
  throw error;
}

/** The algorithms without a key that goes on signing. */
async function missingAlgs(db: Queryable, algorithms: readonly SigningAlg[]): Promise<SigningAlg[]> {
  const keys = await listKeys(db);
  return algorithms.filter((alg) => !keys.some((key) => key.alg === alg && !key.retiresAt));
}
