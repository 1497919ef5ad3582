import { createPrivateKey, type KeyObject, sign } from 'node:crypto';
import type { JWK } from 'jose';

/** Signs the claims of an access token (RFC 9068 §2.1), here and now. */
export type SignAccessToken = (claims: object) => { token: string; kid: string };

/**
 * Signing with these takes less time than handing the work to another thread and hearing back; RSA takes ten times
 * as long, and would hold up everybody.
 */
const QUICK = new Map<string, { digest: string | null; dsaEncoding?: 'ieee-p1363' }>([
  ['EdDSA', { digest: null }],
  ['ES256', { digest: 'sha256', dsaEncoding: 'ieee-p1363' }],
]);

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
  const how = QUICK.get(alg);
  const jwk = keys.find((key) => key.alg === alg);
  if (!how || typeof jwk?.d !== 'string' || jwk.kid === undefined) return undefined;
  const { kid } = jwk;
  const key: KeyObject = createPrivateKey({ key: jwk, format: 'jwk' });
  const header = encoded({ alg, typ: 'at+jwt', kid });
  const { digest, ...options } = how;
  return (claims) => {
    const input = `${header}.${encoded(claims)}`;
    return {
      kid,
      token: `${input}.${sign(digest, Buffer.from(input), { key, ...options }).toString('base64url')}`,
    };
  };
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
