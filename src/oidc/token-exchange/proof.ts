/**
 * Possession of the key that a token is bound to, shown with a request for an exchange. The library checks proofs in
 * its own grants only, so RFC 9449 §4.3 and §8 are followed here, as it follows them there.
 */
import { calculateJwkThumbprint, EmbeddedJWK, errors as joseErrors, jwtVerify } from 'jose';
import { errors, type KoaContextWithOIDC } from 'oidc-provider';
import { z } from 'zod';

import type { Client } from '../../clients/client.ts';
import type { DpopNonces } from '../dpop-nonces.ts';

export interface ProofRules {
  algorithms: readonly string[];
  /** Whether the proof must carry a nonce. @throws InvalidDpopProof */
  requiresNonce: (ctx: KoaContextWithOIDC) => boolean;
  nonces: DpopNonces;
}

/** How far `iat` may be away from now, where there is no nonce. */
const FRESH_SECONDS = 300;
const proofSchema = z.object({
  jti: z.string().min(1),
  iat: z.number(),
  htm: z.literal('POST'),
  htu: z.string(),
  nonce: z.string().optional(),
});

/**
 * @returns the thumbprint of the key (RFC 7638), undefined where there is no proof
 * @throws InvalidDpopProof; UseDpopNonce, with the one to use in `DPoP-Nonce`; InvalidGrant for one that was used before
 */
export async function provenKey(
  ctx: KoaContextWithOIDC,
  client: Client,
  rules: ProofRules,
): Promise<string | undefined> {
  const proof = ctx.get('DPoP');
  if (proof === '') return undefined;
  const isNonceRequired = rules.requiresNonce(ctx);
  const { jti, iat, htu, jwk, nonce } = await verified(proof, rules.algorithms);
  if (!isSameAddress(htu, ctx.oidc.urlFor('token'))) throw refuse('DPoP proof htu mismatch');
  checkFreshness(ctx, { iat, nonce }, { isNonceRequired, nonces: rules.nonces });
  const { ReplayDetection } = ctx.oidc.provider as unknown as {
    ReplayDetection: { unique: (iss: string, jti: string, exp: number) => Promise<boolean> };
  };
  const isFirst = await ReplayDetection.unique(
    client.clientId,
    jti,
    Math.floor(Date.now() / 1000) + FRESH_SECONDS,
  );
  if (!isFirst) throw new errors.InvalidGrant('DPoP proof JWT Replay detected');
  return calculateJwkThumbprint(jwk);
}

function checkFreshness(
  ctx: KoaContextWithOIDC,
  { iat, nonce = '' }: { iat: number; nonce?: string | undefined },
  { isNonceRequired, nonces }: { isNonceRequired: boolean; nonces: DpopNonces },
): void {
  const next = nonces.next();
  const ask = (why: string): never => {
    ctx.set('DPoP-Nonce', next);
    throw new errors.UseDpopNonce(why);
  };
  if (nonce === '') {
    if (isNonceRequired) ask('nonce is required in the DPoP proof');
    // A client whose clock is wrong can go by ours.
    if (Math.abs(Date.now() / 1000 - iat) > FRESH_SECONDS) ask('DPoP proof iat is not recent enough');
  } else if (!nonces.isGood(nonce)) ask('invalid nonce in DPoP proof');
  if (nonce !== next) ctx.set('DPoP-Nonce', next);
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
