import { importJWK, type JWTPayload, SignJWT } from 'jose';

import type { Keyset } from './view.ts';

/**
 * Signs a JWT with the key of that algorithm that signs now.
 *
 * @param jwt.typ the type of its header (RFC 8725 §3.11)
 * @throws Error where no key of that algorithm signs
 */
export async function signJwt(
  keyset: Keyset,
  { typ, alg, claims }: { typ: string; alg: string; claims: object },
): Promise<string> {
  const jwk = keyset.signing.find((key) => key.alg === alg);
  if (!jwk) throw new Error(`no ${alg} key signs`);
  const { kid = '' } = jwk;
  return new SignJWT(claims as JWTPayload)
    .setProtectedHeader({ alg, kid, typ })
    .sign(await importJWK(jwk, alg));
}
