import { z } from 'zod';

import { AppError } from '../platform/errors.ts';
import type { Jwks } from './client.ts';

type AlgsByType = Record<string, readonly string[]>;

const MAX_KEYS = 20;
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'];
const SIGNING_ALGS: AlgsByType = {
  RSA: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  EC: ['ES256', 'ES384', 'ES512'],
  OKP: ['EdDSA', 'Ed25519'],
};
/** Those of message-algs.ts, by the keys that they are for. */
const ENCRYPTION_ALGS: AlgsByType = {
  RSA: ['RSA-OAEP-256'],
  EC: ['ECDH-ES', 'ECDH-ES+A256KW'],
  OKP: ['ECDH-ES', 'ECDH-ES+A256KW'],
};
const EC_CURVES = ['P-256', 'P-384', 'P-521'];
const MIN_RSA_BITS = 2_048;

const storedJwks = z.strictObject({ keys: z.array(z.record(z.string(), z.unknown())) });

/** Reads back what was stored. */
export function parseJwks(value: unknown): Jwks {
  return storedJwks.parse(value);
}

/**
 * Checks the keys that a client signs with, or that we encrypt to (`"use": "enc"`): public ones only, each for one of
 * the two and of a type that we know, RSA of at least 2048 bits (RFC 7518 §3.3).
 *
 * @throws AppError `invalid_client` (400)
 */
export function checkJwks(jwks: Jwks): void {
  const parsed = storedJwks.safeParse(jwks);
  if (!parsed.success) throw refuse('give an object with "keys", a list of JSON Web Keys');
  const { keys } = parsed.data;
  if (keys.length === 0) throw refuse('it holds no key');
  if (keys.length > MAX_KEYS) throw refuse(`it holds more than ${MAX_KEYS} keys`);
  const kids = keys.map(({ kid }) => kid).filter((kid) => kid !== undefined);
  if (new Set(kids).size < kids.length) throw refuse('two keys have the same "kid"');
  keys.forEach(checkKey);
}

function checkKey(key: Record<string, unknown>, index: number): void {
  const nth = `key ${index + 1}`;
  const exposed = PRIVATE_MEMBERS.find((member) => member in key);
  if (exposed) throw refuse(`${nth} holds the private member "${exposed}"; give the public key only`);
  const { kty, crv, alg, use, n, e, x, y } = key;
  if (use !== undefined && use !== 'sig' && use !== 'enc') {
    throw refuse(`${nth} must have "use" sig, enc or none`);
  }
  const algsByType = use === 'enc' ? ENCRYPTION_ALGS : SIGNING_ALGS;
  const algs = typeof kty === 'string' && Object.hasOwn(algsByType, kty) ? algsByType[kty]! : undefined;
  if (!algs) throw refuse(`${nth} must have "kty" RSA, EC or OKP`);
  if (alg !== undefined && !algs.includes(alg as string)) {
    throw refuse(`${nth} must have "alg" ${algs.join(', ')} or none`);
  }

  const members = { RSA: [n, e], EC: [x, y], OKP: [x] }[kty as 'RSA' | 'EC' | 'OKP'];
  if (!members.every((member) => typeof member === 'string' && /^[\w-]+$/.test(member))) {
    throw refuse(`${nth} lacks a part of its public key`);
  }
  if (kty === 'EC' && !EC_CURVES.includes(crv as string)) {
    throw refuse(`${nth} must have "crv" ${EC_CURVES.join(', ').replace(/, (?=[^,]*$)/, ' or ')}`);
  }
  const okpCurve = use === 'enc' ? 'X25519' : 'Ed25519';
  if (kty === 'OKP' && crv !== okpCurve) throw refuse(`${nth} must have "crv" ${okpCurve}`);
  if (kty === 'RSA' && bitLength(n as string) < MIN_RSA_BITS) {
    throw refuse(`${nth} is an RSA key of less than ${MIN_RSA_BITS} bits`);
  }
}

/** Whether that is a key that we may encrypt to with the algorithm (RFC 7517 §4.2: it says so itself). */
export function isEncryptionKeyFor({ kty, use, alg: own }: Record<string, unknown>, alg: string): boolean {
  return (
    use === 'enc' &&
    typeof kty === 'string' &&
    ENCRYPTION_ALGS[kty]?.includes(alg) === true &&
    (own === undefined || own === alg)
  );
}

function bitLength(base64url: string): number {
  const bytes = Buffer.from(base64url, 'base64url');
  const first = bytes.findIndex((byte) => byte !== 0);
  return first === -1 ? 0 : (bytes.length - first) * 8 - Math.clz32(bytes[first]!) + 24;
}

function refuse(advice: string): AppError {
  return new AppError('invalid_client', 400, `The client's JSON Web Key Set is refused: ${advice}.`);
}
