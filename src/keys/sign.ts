import { importJWK, type JWTPayload, SignJWT } from 'jose';

import { isPublicOnly, type ExternalSigner } from './external.ts';
import type { Keyset } from './view.ts';

/**
 * Signs a JWT with the key of that algorithm that signs now.
 *
 * @param jwt.typ the type of its header (RFC 8725 §3.11)
 * @throws Error where no key of that algorithm signs; AppError 503 `signing_unavailable`
 */
export async function signJwt(
  keyset: Keyset,
  external: ExternalSigner | undefined,
  { typ, alg, claims }: { typ: string; alg: string; claims: object },
): Promise<string> {
  const jwk = keyset.signing.find((key) => key.alg === alg);
  if (!jwk) throw new Error(`no ${alg} key signs`);
  const { kid = '' } = jwk;
  const header = { alg, kid, typ };
  if (!isPublicOnly(jwk)) {
    return new SignJWT(claims as JWTPayload).setProtectedHeader(header).sign(await importJWK(jwk, alg));
  }
  if (!external) throw new Error(`the ${alg} key is held by a signing service, and none is configured`);
  const input = [header, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  return `${input}.${(await external.sign(jwk, Buffer.from(input))).toString('base64url')}`;
}
