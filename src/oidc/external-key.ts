import { createPublicKey, type KeyObject } from 'node:crypto';
import type { JWK } from 'jose';
import { ExternalSigningKey } from 'oidc-provider';

import { isPublicOnly } from '../keys/external.ts';
import { orTemporarilyUnavailable } from './errors.ts';
import { quickSigner } from './quick-signing.ts';

/** Signs with the private part of a public key, wherever that is. */
export type SignExternally = (publicJwk: JWK, input: Uint8Array) => Promise<Uint8Array>;

/** The library wants a key that it cannot sign with by itself as an object of its own class. */
class RemoteKey extends ExternalSigningKey {
  readonly #jwk: JWK;
  readonly #publicKey: KeyObject;
  readonly #sign: (input: Uint8Array) => Promise<Uint8Array>;

  constructor(jwk: JWK, sign: SignExternally) {
    super();
    this.#publicKey = createPublicKey({ key: jwk, format: 'jwk' });
    this.#sign = (input) => sign(jwk, input);
    this.#jwk = jwk;
  }

  override get kid(): string | undefined {
    return this.#jwk.kid;
  }

  override get alg(): string | undefined {
    return this.#jwk.alg;
  }

  override keyObject(): KeyObject {
    return this.#publicKey;
  }

  override async sign(input: Uint8Array): Promise<Uint8Array> {
    return orTemporarilyUnavailable(() => this.#sign(input));
  }
}

/**
 * As the library takes it: what it would sign with slowly, or cannot sign with, signs by itself (quick-signing.ts).
 */
export function toProviderKey(jwk: JWK, signExternally: SignExternally): JWK | ExternalSigningKey {
  if (isPublicOnly(jwk)) return toRemoteKey(jwk, signExternally);
  const sign = quickSigner(jwk);
  return sign ? new RemoteKey(jwk, async (_jwk, input) => sign(input)) : jwk;
}

function toRemoteKey(jwk: JWK, sign: SignExternally): ExternalSigningKey {
  return new RemoteKey(jwk, sign);
}
