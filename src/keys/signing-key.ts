import type { JWK } from 'jose';

/** ML-DSA-65 (FIPS 204, RFC 9964) is for those who ask for it: `keys.algorithms`. */
export const SIGNING_ALGS = ['RS256', 'ES256', 'EdDSA', 'ML-DSA-65'] as const;
export const DEFAULT_SIGNING_ALGS = ['RS256', 'ES256', 'EdDSA'] as const;
export type SigningAlg = (typeof SIGNING_ALGS)[number];

/** `next` is published and does not sign yet; `retired` is published and signs no more. */
export type SigningKeyState = 'next' | 'current' | 'retired' | 'removed';

/** When a key signs and when it is published: everything about it follows from these and the time. */
export interface KeyTimes {
  kid: string;
  alg: SigningAlg;
  activatesAt: Date;
  /** When it stops signing; absent while nothing is to follow it. */
  retiresAt?: Date;
  /** When it leaves the JWKS. */
  removesAt?: Date;
}

/** What may be shown of a signing key. */
export interface SigningKey extends KeyTimes {
  state: SigningKeyState;
  publicJwk: JWK;
  createdAt: Date;
}
