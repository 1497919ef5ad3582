import { randomInt } from 'node:crypto';

import { keyedDigest } from '../platform/ids.ts';

/** Crockford's: without i, l, o and u, which are misread or make words. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const GROUPS = 3;
const GROUP_CHARACTERS = 4;

/** @returns "x7k2-9fqd-4m0v": 60 random bits, so a fast keyed digest is enough to store them */
export function generateRecoveryCode(): string {
  const group = (): string =>
    Array.from({ length: GROUP_CHARACTERS }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
  return Array.from({ length: GROUPS }, group).join('-');
}

/** @returns the bare code, however it was typed (o for 0, i or l for 1); undefined where it is not of a code's form */
export function parseRecoveryCode(raw: string): string | undefined {
  const code = raw
    .normalize('NFKC')
    .toLowerCase()
    .replaceAll(/[\s\p{Pd}\p{Cf}]/gu, '')
    .replaceAll('o', '0')
    .replaceAll(/[il]/g, '1');
  return /^[0-9a-hjkmnp-tv-z]{12}$/.test(code) ? code : undefined;
}

/** @param code as `generateRecoveryCode` or `parseRecoveryCode` gives it */
export function recoveryCodeDigest(key: Buffer, code: string): string {
  return keyedDigest(key, 'recovery', code.replaceAll('-', ''));
}
