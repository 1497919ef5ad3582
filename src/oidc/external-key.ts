import { createPublicKey, type KeyObject } from 'node:crypto';
import type { JWK } from 'jose';
import { ExternalSigningKey } from 'oidc-provider';

import { orTemporarilyUnavailable } from './errors.ts';

/** Signs with the private part of a public key, wherever that is. */
export type SignExternally = (publicJwk: JWK, input: Uint8Array) => Promise<Uint8Array>;

/** The library wants such a key as an object of its own class. */
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

export function toRemoteKey(jwk: JWK, sign: SignExternally): ExternalSigningKey {
  return new RemoteKey(jwk, sign);
}
