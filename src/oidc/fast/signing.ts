import type { JWK } from 'jose';

import { quickSigner } from '../quick-signing.ts';

/** Signs the claims of an access token (RFC 9068 §2.1), here and now. */
export type SignAccessToken = (claims: object) => { token: string; kid: string };

/**
 * @param keys in the order in which they sign, with their private parts where those are here
 * @returns undefined for an algorithm whose key is elsewhere, or too slow to be used so
 */
export function createSigners(keys: readonly JWK[]): (alg: string) => SignAccessToken | undefined {
  const signers = new Map<string, SignAccessToken | undefined>();
  return (alg) => {
    if (!signers.has(alg)) signers.set(alg, signerFor(alg, keys));
    return signers.get(alg);
  };
}

function signerFor(alg: string, keys: readonly JWK[]): SignAccessToken | undefined {
  const jwk = keys.find((key) => key.alg === alg);
  const sign = jwk && quickSigner(jwk);
  if (!sign || jwk.kid === undefined) return undefined;
  const { kid } = jwk;
  const header = encoded({ alg, typ: 'at+jwt', kid });
  return (claims) => {
    const input = `${header}.${encoded(claims)}`;
    return { kid, token: `${input}.${sign(Buffer.from(input)).toString('base64url')}` };
  };
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
