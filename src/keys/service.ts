import type { JWK } from 'jose';

import type { Actor } from '../audit/events.ts';

export const SIGNING_ALGS = ['RS256', 'ES256', 'EdDSA'] as const;
export type SigningAlg = (typeof SIGNING_ALGS)[number];

/** What may be shown of a signing key. */
export interface SigningKey {
  kid: string;
  alg: SigningAlg;
  /** `next` is published and does not sign yet; `retired` is published and signs no more. */
  state: 'next' | 'current' | 'retired' | 'removed';
  publicJwk: JWK;
  createdAt: Date;
  activatesAt: Date;
  /** When it stops signing; absent while nothing is to follow it. */
  retiresAt?: Date;
  /** When it leaves the JWKS. */
  removesAt?: Date;
}

/** The keys of a moment, with their private parts: for the provider alone. */
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

export interface KeyService {
  /** Makes the signing and cookie keys that are missing; safe when several processes start at once. */
  ensureKeys: () => Promise<void>;
  /** Loads the keys and begins to watch for changes. */
  start: () => Promise<void>;
  stop: () => Promise<void>;
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
  /** Makes a new cookie key, which signs once every process knows it. */
  rotateCookieKeys: (by: Actor) => Promise<void>;
  /** Called in this process whenever `keyset()` or `cookieKeys()` changed: by time or by anybody's doing. */
  onChange: (listener: () => void) => () => void;
}
