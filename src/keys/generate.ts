import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';

import type { SigningAlg } from './signing-key.ts';

export interface GeneratedKey {
  kid: string;
  publicJwk: JWK;
  /** Absent where a signing service holds it. */
  privateJwk?: JWK;
}

/**
 * A new key pair: RSA of 2048 bits, P-256 or Ed25519. RSA takes some hundred milliseconds, off the event loop. The key
 * id is the thumbprint (RFC 7638), and never one that a command line takes for an option.
 */
export async function generateSigningKey(alg: SigningAlg): Promise<Required<GeneratedKey>> {
  const key = await generateAny(alg);
  // One in 64: whoever takes a leaked key out in a hurry shall not have to know of `--`.
  return key.kid.startsWith('-') ? generateSigningKey(alg) : key;
}

async function generateAny(alg: SigningAlg): Promise<Required<GeneratedKey>> {
  const pair = await generateKeyPair(alg, {
    extractable: true,
    ...(alg === 'RS256' && { modulusLength: 2_048 }),
    ...(alg === 'EdDSA' && { crv: 'Ed25519' }),
  });
  const publicPart = await exportJWK(pair.publicKey);
  const kid = await calculateJwkThumbprint(publicPart, 'sha256');
  const named = { kid, alg, use: 'sig' };
  return {
    kid,
    publicJwk: { ...publicPart, ...named },
    privateJwk: { ...(await exportJWK(pair.privateKey)), ...named },
  };
}
