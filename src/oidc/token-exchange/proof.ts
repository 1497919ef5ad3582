/**
 * Possession of the key that a token is bound to, shown with a request for an exchange. The library checks proofs in
 * its own grants only, so RFC 9449 §4.3 is followed here.
 */
import { calculateJwkThumbprint, EmbeddedJWK, errors as joseErrors, jwtVerify } from 'jose';
import { errors, type KoaContextWithOIDC } from 'oidc-provider';
import { z } from 'zod';

import type { Client } from '../../clients/client.ts';

export interface ProofRules {
  algorithms: readonly string[];
  /** Whether the library would ask for a nonce of its own, which nobody else can check. @throws InvalidDpopProof */
  requiresNonce: (ctx: KoaContextWithOIDC) => boolean;
}

const FRESH_SECONDS = 60;
const proofSchema = z.object({
  jti: z.string().min(1),
  iat: z.number(),
  htm: z.literal('POST'),
  htu: z.string(),
});

/**
 * @returns the thumbprint of the key (RFC 7638), undefined where there is no proof
 * @throws InvalidDpopProof; InvalidGrant for one that was used before
 */
export async function provenKey(
  ctx: KoaContextWithOIDC,
  client: Client,
  { algorithms, requiresNonce }: ProofRules,
): Promise<string | undefined> {
  const proof = ctx.get('DPoP');
  if (proof === '') return undefined;
  if (requiresNonce(ctx)) throw refuse('the client needs nonces, and an exchange knows none');
  const { jti, iat, htu, jwk } = await verified(proof, algorithms);
  if (Math.abs(Date.now() / 1000 - iat) > FRESH_SECONDS) throw refuse('DPoP proof iat is not recent enough');
  if (!isSameAddress(htu, ctx.oidc.urlFor('token'))) throw refuse('DPoP proof htu mismatch');
  const { ReplayDetection } = ctx.oidc.provider as unknown as {
    ReplayDetection: { unique: (iss: string, jti: string, exp: number) => Promise<boolean> };
  };
  const isFirst = await ReplayDetection.unique(
    client.clientId,
    jti,
    Math.floor(Date.now() / 1000) + 2 * FRESH_SECONDS,
  );
  if (!isFirst) throw new errors.InvalidGrant('DPoP proof JWT Replay detected');
  return calculateJwkThumbprint(jwk);
}

async function verified(proof: string, algorithms: readonly string[]) {
  try {
    const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, {
      algorithms: [...algorithms],
      typ: 'dpop+jwt',
    });
    return { ...proofSchema.parse(payload), jwk: protectedHeader.jwk! };
  } catch (error) {
    if (error instanceof joseErrors.JOSEError || error instanceof z.ZodError || error instanceof TypeError) {
      throw refuse(error.message);
    }
    throw error;
  }
}

function isSameAddress(presented: string, expected: string): boolean {
  const address = URL.parse(presented);
  if (!address) return false;
  address.hash = '';
  address.search = '';
  return address.href === new URL(expected).href;
}

function refuse(detail: string): errors.InvalidDpopProof {
  return new errors.InvalidDpopProof('invalid DPoP key binding', { detail: detail.slice(0, 300) });
}
