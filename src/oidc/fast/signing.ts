import { createPrivateKey, sign as signWith } from 'node:crypto';
import { promisify } from 'node:util';
import type { JWK } from 'jose';

import { quickSigner } from '../quick-signing.ts';

/** RFC 9068 §2.1; an ID token has no type (OIDC Core §2). */
export type JwtType = 'at+jwt' | undefined;
export interface SignedJwt {
  token: string;
  kid: string;
}
/** Signs claims: here and now, or where the key is slow, on another thread. */
export type SignJwt = (claims: object) => SignedJwt | Promise<SignedJwt>;
/** Undefined for an algorithm whose key is elsewhere, or of a kind that only the library signs with. */
export type SignerFor = (alg: string, typ: JwtType) => SignJwt | undefined;

/** @param keys in the order in which they sign, with their private parts where those are here */
export function createSigners(keys: readonly JWK[]): SignerFor {
  const signers = new Map<string, SignJwt | undefined>();
  return (alg, typ) => {
    const name = `${alg} ${typ ?? ''}`;
    if (!signers.has(name)) signers.set(name, signerFor(alg, typ, keys));
    return signers.get(name);
  };
}

function signerFor(alg: string, typ: JwtType, keys: readonly JWK[]): SignJwt | undefined {
  const jwk = keys.find((key) => key.alg === alg);
  const { kid } = jwk ?? {};
  if (!jwk || kid === undefined) return undefined;
  const header = encoded({ alg, typ, kid });
  const inputOf = (claims: object): string => `${header}.${encoded(claims)}`;
  const signed = (input: string, signature: Buffer): SignedJwt => ({
    kid,
    token: `${input}.${signature.toString('base64url')}`,
  });
  const quick = quickSigner(jwk);
  if (quick) {
    return (claims) => {
      const input = inputOf(claims);
      return signed(input, quick(Buffer.from(input)));
    };
  }
  const slow = slowSigner(jwk);
  return (
    slow &&
    (async (claims) => {
      const input = inputOf(claims);
      return signed(input, await slow(Buffer.from(input)));
    })
  );
}

const signOnAnotherThread = promisify(signWith) as unknown as (
  digest: string,
  input: Uint8Array,
  key: object,
) => Promise<Buffer>;

function slowSigner(jwk: JWK): ((input: Uint8Array) => Promise<Buffer>) | undefined {
  if (jwk.alg !== 'RS256' || typeof jwk.d !== 'string') return undefined;
  const key = createPrivateKey({ key: jwk, format: 'jwk' });
  return (input) => signOnAnotherThread('sha256', input, key);
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
