import type { JWK } from 'jose';

import type { Clock } from '../platform/clock.ts';
import { coalesce } from '../platform/coalesce.ts';
import type { Database } from '../platform/database.ts';
import type { Sealer } from '../platform/seal.ts';
import { watchVersion, type VersionWatch } from '../platform/version-watch.ts';
import { listCookieKeys, openCookieKey, orderCookieKeys, type CookieKey } from './cookie-keys.ts';
import { viewAt } from './keyset.ts';
import { listLiveKeys, openPrivateJwk, type StoredKey } from './store.ts';

/** The name under which changes of keys are announced (platform/version-watch.ts). */
export const KEYS_VERSION = 'keys';

/** The keys of a moment, with their private parts where those are here: for the provider alone. */
export interface Keyset {
  /** One for each algorithm. */
  signing: readonly JWK[];
  next: readonly JWK[];
  retired: readonly JWK[];
  /** All of them in the order that makes the current ones sign: the provider takes the first that fits. */
  jwks: { keys: JWK[] };
  /** When this view ends by itself; absent where no rotation is under way. */
  nextChangeAt?: Date;
}

/** The keys that this process has in memory, opened. */
export interface KeyView {
  keyset: () => Keyset;
  cookieKeys: () => string[];
  onChange: (listener: () => void) => () => void;
  start: () => Promise<void>;
  /** Reads what is stored now, so that a process sees its own changes at once; nothing before `start`. */
  reload: () => Promise<void>;
  stop: () => Promise<void>;
}

export function createKeyView({
  db,
  clock,
  sealer,
  pollIntervalMs,
  onError,
}: {
  db: Database;
  clock: Clock;
  sealer: Sealer;
  pollIntervalMs: number;
  onError: (error: Error) => void;
}): KeyView {
  const listeners = new Set<() => void>();
  let signingKeys: StoredKey[] | undefined;
  let cookieKeys: CookieKey[] = [];
  /** By key id: the key never changes, only its times do. */
  let privateJwks = new Map<string, JWK>();
  let cookieSecrets = new Map<string, string>();
  let announced: string | undefined;
  let isLoadDue = false;
  let watch: VersionWatch | undefined;
  let timer: NodeJS.Timeout | undefined;

  const load = coalesce(async () => {
    isLoadDue = true;
    const [signing, cookie] = await Promise.all([listLiveKeys(db, clock.now()), listCookieKeys(db)]);
    const jwks = openedOf(
      signing,
      ({ kid }) => kid,
      (key) => privateJwks.get(key.kid) ?? (key.isExternal ? key.publicJwk : openPrivateJwk(sealer, key)),
    );
    const secrets = openedOf(
      cookie,
      ({ id }) => id,
      (key) => openCookieKey(sealer, key),
    );
    privateJwks = jwks;
    cookieSecrets = secrets;
    signingKeys = signing.filter(({ kid }) => jwks.has(kid));
    cookieKeys = cookie.filter(({ id }) => secrets.has(id));
    isLoadDue = false;
    announce();
  });
  /**
   * At the start a key that cannot be opened is a mistake to be told of. Later it is left out: whoever made it with
   * another secret key must not keep this process from hearing that some key was withdrawn.
   */
  const openedOf = <Key, Opened>(
    keys: readonly Key[],
    idOf: (key: Key) => string,
    open: (key: Key) => Opened,
  ): Map<string, Opened> => {
    const opened = new Map<string, Opened>();
    for (const key of keys) {
      try {
        opened.set(idOf(key), open(key));
      } catch (error) {
        if (signingKeys === undefined) throw error;
        onError(error as Error);
      }
    }
    return opened;
  };
  const keyset = (): Keyset => {
    if (!signingKeys) throw new Error('the keys are not loaded yet: start() comes first');
    const view = viewAt(signingKeys, clock.now());
    const privately = (keys: StoredKey[]): JWK[] => keys.map(({ kid }) => privateJwks.get(kid)!);
    const signing = privately(view.signing);
    const next = privately(view.next);
    const retired = privately(view.retired);
    return {
      signing,
      next,
      retired,
      jwks: { keys: [...signing, ...next, ...retired] },
      ...(view.nextChangeAt && { nextChangeAt: view.nextChangeAt }),
    };
  };
  const orderedCookieKeys = (): CookieKey[] => {
    if (!signingKeys) throw new Error('the keys are not loaded yet: start() comes first');
    return orderCookieKeys(cookieKeys, clock.now());
  };
  /** Calls the listeners where what they would see differs from what they were last told of. */
  const announce = (): void => {
    const { signing, next, retired } = keyset();
    const parts = [signing, next, retired].map((part) => part.map(({ kid }) => kid));
    const view = JSON.stringify([...parts, orderedCookieKeys().map(({ id }) => id)]);
    const isNews = announced !== undefined && announced !== view;
    if (isNews) for (const listener of listeners) listener();
    // Only now: where a listener fails, the next turn tells it again.
    announced = view;
  };
  const tick = (): void => {
    if (isLoadDue) load().catch(onError);
    else {
      try {
        announce();
      } catch (error) {
        onError(error as Error);
      }
    }
  };

  return {
    keyset,
    cookieKeys: () => orderedCookieKeys().map(({ id }) => cookieSecrets.get(id)!),
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    reload: async () => {
      if (watch) await load();
    },
    start: async () => {
      watch ??= await watchVersion({
        db,
        name: KEYS_VERSION,
        onChange: () => {
          load().catch(onError);
        },
        onError,
        pollIntervalMs,
      });
      await load();
      timer ??= setInterval(tick, pollIntervalMs).unref();
    },
    stop: async () => {
      const stopped = watch;
      watch = undefined;
      clearInterval(timer);
      timer = undefined;
      await stopped?.stop();
    },
  };
}
