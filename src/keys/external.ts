/**
 * Signing by a service of the operator's, which alone holds the private keys. It speaks two requests
 * (docs/guides/external-signing.md): `GET /keys` answers its public keys as a JWK Set, the one to use next first;
 * `POST /sign` with `{ kid, alg, input }` answers `{ signature }`, both base64url, the signature as JWS has it.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { z } from 'zod';

import { AppError } from '../platform/errors.ts';
import type { Outgoing } from '../platform/outgoing.ts';
import type { GeneratedKey } from './generate.ts';
import type { SigningAlg } from './signing-key.ts';

export interface ExternalSigner {
  algorithms: readonly SigningAlg[];
  /**
   * A key of the service that is not in use yet.
   *
   * @throws AppError 409 `no_new_external_key`, 503 `signing_unavailable`, also where the key is none of that algorithm
   */
  newKey: (alg: SigningAlg, usedKids: ReadonlySet<string>) => Promise<GeneratedKey>;
  /** @throws AppError 503 `signing_unavailable`, also where the signature is not that of the key */
  sign: (publicJwk: JWK, input: Uint8Array) => Promise<Buffer>;
}

const offeredKeys = z.object({
  keys: z.array(z.looseObject({ kty: z.string(), alg: z.string(), kid: z.string().optional() })),
});
const signed = z.object({ signature: z.string().regex(/^[\w-]+$/) });

export function createExternalSigner({
  url,
  token,
  algorithms,
  outgoing,
}: {
  url: string;
  /** What proves to the service that it is us. */
  token?: string | undefined;
  algorithms: readonly SigningAlg[];
  outgoing: Outgoing;
}): ExternalSigner {
  const base = url.replace(/\/$/, '');
  const headers = {
    accept: 'application/json',
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
  const ask = async <T>(schema: z.ZodType<T>, path: string, body?: object): Promise<T> => {
    try {
      const answer = await outgoing.request(`${base}${path}`, {
        headers: { ...headers, ...(body ? { 'content-type': 'application/json' } : {}) },
        ...(body ? { method: 'POST', body: JSON.stringify(body) } : {}),
      });
      if (answer.status !== 200) throw new Error(`the signing service answered ${answer.status}`);
      return schema.parse(JSON.parse(answer.body.toString()));
    } catch (cause) {
      throw unavailable(cause);
    }
  };

  return {
    algorithms,
    newKey: async (alg, usedKids) => {
      const { keys } = await ask(offeredKeys, '/keys');
      for (const offered of keys.filter((key) => key.alg === alg)) {
        const publicJwk = await publicPart(offered as JWK, alg).catch((cause: unknown) => {
          throw unavailable(cause);
        });
        const { kid = '' } = publicJwk;
        if (!usedKids.has(kid)) return { kid, publicJwk };
      }
      throw new AppError(
        'no_new_external_key',
        409,
        `The signing service offers no ${alg} key that is not in use already. Make one there first.`,
      );
    },
    sign: async (publicJwk, input) => {
      const { kid, alg } = publicJwk;
      const { signature } = await ask(signed, '/sign', {
        kid,
        alg,
        input: Buffer.from(input).toString('base64url'),
      });
      const bytes = Buffer.from(signature, 'base64url');
      if (!isSignatureOf(publicJwk, input, bytes)) {
        throw unavailable(new Error(`the signing service's signature is not that of ${kid ?? 'the key'}`));
      }
      return bytes;
    },
  };
}

/** Whether a key is one whose private part is elsewhere. */
export function isPublicOnly(jwk: JWK): boolean {
  return jwk.d === undefined && jwk['priv'] === undefined;
}

async function publicPart(offered: JWK, alg: SigningAlg): Promise<JWK> {
  // What was private in it, should the service say too much, does not come along.
  const key = createPublicKey({ key: offered, format: 'jwk' });
  if (!isFor(alg, key))
    throw new Error(`${offered.kid ?? 'a key'} is offered for ${alg}, and is no such key`);
  const bare = key.export({ format: 'jwk' }) as JWK;
  return { ...bare, kid: offered.kid ?? (await calculateJwkThumbprint(bare)), alg, use: 'sig' };
}

/** A key that does not fit would keep every provider from being built, and with it every server from starting. */
function isFor(
  alg: SigningAlg,
  { asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject,
): boolean {
  switch (alg) {
    case 'RS256':
      // RFC 7518 §3.3
      return type === 'rsa' && (details?.modulusLength ?? 0) >= 2048;
    case 'ES256':
      return type === 'ec' && details?.namedCurve === 'prime256v1';
    case 'EdDSA':
      return type === 'ed25519';
    case 'ML-DSA-65':
      return String(type) === 'ml-dsa-65';
    default:
      return alg satisfies never;
  }
}

function isSignatureOf(publicJwk: JWK, input: Uint8Array, signature: Buffer): boolean {
  const key: KeyObject = createPublicKey({ key: publicJwk, format: 'jwk' });
  if (publicJwk.alg === 'RS256') return verify('sha256', input, key, signature);
  if (publicJwk.alg === 'ES256') {
    return verify('sha256', input, { key, dsaEncoding: 'ieee-p1363' }, signature);
  }
  return verify(undefined, input, key, signature);
}

function unavailable(cause: unknown): AppError {
  return new AppError('signing_unavailable', 503, 'The signing service cannot be reached now. Try again.', {
    cause,
    retryAfterSeconds: 2,
  });
}
