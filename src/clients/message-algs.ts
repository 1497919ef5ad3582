/**
 * What a client can ask for about single messages: requests that it signs, and answers that we sign and encrypt to it.
 * Asymmetric algorithms only: secrets are stored hashed, so nothing can be keyed by one.
 */
import { z } from 'zod';

/** What clients can sign with, their requests (RFC 9101 §10.2) and assertions (RFC 7523): never `none`. */
export const CLIENT_SIGNING_ALGS = ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'] as const;

/** What our answers can be signed with: ML-DSA-65 where the operator has enabled it (`keys.algorithms`). */
export const RESPONSE_SIGNING_ALGS = ['RS256', 'ES256', 'EdDSA', 'ML-DSA-65'] as const;

/** How the key of an encrypted answer reaches the client (RFC 7518 §4). RSA1_5 is broken, RSA-OAEP rests on SHA-1. */
export const ENCRYPTION_ALGS = ['RSA-OAEP-256', 'ECDH-ES', 'ECDH-ES+A256KW'] as const;

/** What an answer is encrypted with (RFC 7518 §5). */
export const ENCRYPTION_ENCS = ['A256GCM', 'A128GCM', 'A128CBC-HS256'] as const;

const signedResponse = z.enum(RESPONSE_SIGNING_ALGS).exactOptional();
const encryptionAlg = z.enum(ENCRYPTION_ALGS).exactOptional();
const encryptionEnc = z.enum(ENCRYPTION_ENCS).exactOptional();

/** All of them are oidc-provider's own metadata. */
export const MESSAGE_OPTIONS = {
  /** Whether every authorization request must be signed (RFC 9101 §10.5). */
  requireSignedRequestObject: z.boolean().exactOptional(),
  /** The one algorithm of its signed requests; without it any of `CLIENT_SIGNING_ALGS`. */
  requestObjectSigningAlg: z.enum(CLIENT_SIGNING_ALGS).exactOptional(),
  /** Of answers in `response_mode=jwt` (JARM §3); RS256 without it. */
  authorizationSignedResponseAlg: signedResponse,
  authorizationEncryptedResponseAlg: encryptionAlg,
  authorizationEncryptedResponseEnc: encryptionEnc,
  idTokenEncryptedResponseAlg: encryptionAlg,
  idTokenEncryptedResponseEnc: encryptionEnc,
  /** Makes userinfo a JWT (OIDC Core §5.3.2). */
  userinfoSignedResponseAlg: signedResponse,
  userinfoEncryptedResponseAlg: encryptionAlg,
  userinfoEncryptedResponseEnc: encryptionEnc,
  /** Of introspection where a JWT is accepted (RFC 9701 §6); RS256 without it. */
  introspectionSignedResponseAlg: signedResponse,
  introspectionEncryptedResponseAlg: encryptionAlg,
  introspectionEncryptedResponseEnc: encryptionEnc,
};

export const MESSAGE_OPTION_NAMES = Object.keys(MESSAGE_OPTIONS) as (keyof typeof MESSAGE_OPTIONS)[];
