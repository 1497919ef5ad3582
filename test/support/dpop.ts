/** Proofs of possession (RFC 9449) as a client with a key of its own makes them. */
import { createHash } from 'node:crypto';

import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from 'jose';

import { randomToken } from '../../src/platform/ids.ts';

export interface ProofKey {
  privateKey: CryptoKey;
  jwk: JWK;
}

export async function proofKey(): Promise<ProofKey> {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  return { privateKey, jwk: await exportJWK(publicKey) };
}

/** The headers of a request to the token endpoint with a proof by that key. */
export async function proven(
  issuer: string,
  key: ProofKey,
  claims: { nonce?: string; iat?: number; htu?: string } = {},
): Promise<{ headers: { dpop: string } }> {
  const dpop = await new SignJWT({
    htm: 'POST',
    htu: `${issuer}/oauth/token`,
    jti: randomToken(),
    iat: Math.floor(Date.now() / 1000),
    ...claims,
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: key.jwk })
    .sign(key.privateKey);
  return { headers: { dpop } };
}

/** For a GET with that token (RFC 9449 §7). */
export function proofAt(url: string, key: ProofKey, token: string): Promise<string> {
  const ath = createHash('sha256').update(token).digest('base64url');
  return new SignJWT({ htm: 'GET', htu: url, jti: randomToken(), ath })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: key.jwk })
    .setIssuedAt()
    .sign(key.privateKey);
}
