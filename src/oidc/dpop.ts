/**
 * Proofs of possession (RFC 9449), where the library leaves something open:
 *
 * - Whether a proof must carry a nonce of ours (§8) is decided client by client. At userinfo the library does not know
 *   the client yet when it asks, so there it is decided when the token has been found.
 * - The library looks for a replay, for the key of `dpop_jkt` (§10) and for a second binding when the code has been
 *   spent. Here all come first, so that whoever presents a wrong proof spends nothing.
 * - It remembers a proof for five minutes from now, and takes one from five minutes in the future for ten. It is
 *   remembered for as long as it would be taken.
 *
 * Nonces are the library's: they follow from a key that every process derives from the same secret, and from the time.
 */
import { calculateJwkThumbprint, decodeJwt, decodeProtectedHeader, type JWK } from 'jose';
import { type Configuration, errors, type KoaContextWithOIDC, Provider } from 'oidc-provider';

import type { Client } from '../clients/client.ts';

/** How far the library lets `iat` be away from now. */
const PROOF_SECONDS = 300;

export interface DpopRules {
  /** Whose `requireNonce` throws InvalidDpopProof where the client's profile refuses the proof itself. */
  feature: NonNullable<NonNullable<Configuration['features']>['dPoP']>;
  bind: (provider: Provider) => void;
}

export interface Proof {
  alg: string;
  jwk: JWK;
  jti: string;
  iat: number;
  hasNonce: boolean;
}

interface Spendable {
  consume: () => Promise<void>;
  dpopJkt?: string | undefined;
}

export function createDpopRules({
  nonceSecret,
  isNonceAlwaysRequired,
  clientOf,
  checkProof,
}: {
  /** 32 bytes, the same on every process. */
  nonceSecret: Buffer;
  isNonceAlwaysRequired: boolean;
  clientOf: (providerClient: object) => Client | undefined;
  /** What the client's profile asks of a proof. @throws InvalidDpopProof */
  checkProof: (client: Client, proof: Proof) => void;
}): DpopRules {
  /** Proofs that were found to be new before the library asks. */
  const checked = new WeakMap<object, string>();
  const isRequired = (client: Client): boolean =>
    isNonceAlwaysRequired || client.requireDpopNonce === true || client.profile !== undefined;

  const checkBeforeSpending = async (ctx: KoaContextWithOIDC, source: Spendable): Promise<void> => {
    const proof = proofOf(ctx);
    const { client, provider } = ctx.oidc;
    if (!proof) {
      if (source.dpopJkt) throw new errors.InvalidGrant('missing DPoP proof JWT');
      return;
    }
    if (client?.tlsClientCertificateBoundAccessTokens) {
      throw new errors.InvalidRequest('multiple proof-of-possession mechanisms are not allowed');
    }
    if (source.dpopJkt && source.dpopJkt !== (await calculateJwkThumbprint(proof.jwk))) {
      throw new errors.InvalidGrant('DPoP proof key thumbprint does not match dpop_jkt');
    }
    const expiresAt = Math.floor(Date.now() / 1000) + PROOF_SECONDS;
    if (!(await replayDetectionOf(provider).unique(client!.clientId, proof.jti, expiresAt))) {
      throw new errors.InvalidGrant('DPoP proof JWT Replay detected');
    }
    checked.set(ctx.req, proof.jti);
  };

  return {
    feature: {
      enabled: true,
      nonceSecret,
      requireNonce: (ctx) => {
        const client = ctx.oidc.client && clientOf(ctx.oidc.client);
        if (!client) return isNonceAlwaysRequired;
        const proof = proofOf(ctx);
        if (proof) checkProof(client, proof);
        return isRequired(client);
      },
    },

    bind: (provider) => {
      for (const model of [
        provider.AuthorizationCode,
        provider.DeviceCode,
        provider.BackchannelAuthenticationRequest,
      ]) {
        const prototype = model.prototype as unknown as Spendable;
        const { consume } = prototype;
        prototype.consume = async function checkedFirst(this: Spendable) {
          if (Provider.ctx) await checkBeforeSpending(Provider.ctx, this);
          return consume.call(this);
        };
      }

      const replayDetection = replayDetectionOf(provider);
      const { unique } = replayDetection;
      replayDetection.unique = async (iss, jti, exp) => {
        const { ctx } = Provider;
        if (ctx && checked.get(ctx.req) === jti) {
          checked.delete(ctx.req);
          return true;
        }
        const proof = ctx && proofOf(ctx);
        // With a nonce no time counts, and `iat` can say anything.
        const latest = Math.floor(Date.now() / 1000) + PROOF_SECONDS;
        const lastSecond = proof?.jti === jti ? Math.min(proof.iat, latest) + PROOF_SECONDS + 1 : exp;
        return unique.call(replayDetection, iss, jti, Math.max(exp, lastSecond));
      };

      const find = provider.AccessToken.find.bind(provider.AccessToken);
      provider.AccessToken.find = async function findFor(...args: Parameters<typeof find>) {
        const token = await find(...args);
        const { ctx } = Provider;
        const proof = ctx?.oidc.route === 'userinfo' && proofOf(ctx);
        if (!token || !proof) return token;
        const providerClient = await provider.Client.find((token as { clientId?: string }).clientId ?? '');
        const client = providerClient && clientOf(providerClient);
        if (!client) return token;
        checkProof(client, proof);
        // With a proof that carries none the library has already said which one to use.
        if (isRequired(client) && !proof.hasNonce) {
          throw new errors.UseDpopNonce('nonce is required in the DPoP proof');
        }
        return token;
      } as typeof provider.AccessToken.find;
    },
  };
}

interface ReplayDetection {
  unique: (iss: string, jti: string, exp: number) => Promise<boolean>;
}

function replayDetectionOf(provider: Provider): ReplayDetection {
  return provider.ReplayDetection;
}

/** What the proof says; whether it is one, the library has judged, or is about to. */
function proofOf(ctx: KoaContextWithOIDC): Proof | undefined {
  const text = ctx.get('DPoP');
  if (!text) return undefined;
  try {
    const { alg, jwk } = decodeProtectedHeader(text);
    const { jti, iat, nonce } = decodeJwt(text);
    if (typeof jti !== 'string' || typeof iat !== 'number' || !jwk) return undefined;
    return { alg: String(alg), jwk, jti, iat, hasNonce: Boolean(nonce) };
  } catch {
    return undefined;
  }
}
