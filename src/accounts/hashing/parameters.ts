import { randomBytes } from 'node:crypto';

import type { HashParameters } from './hasher.ts';

/** The parameters' part of a PHC string, "m=19456,t=2,p=1": what two hashes of the same cost have in common. */
export function parametersKey({ memoryKib, iterations, parallelism }: HashParameters): string {
  return `m=${memoryKib},t=${iterations},p=${parallelism}`;
}

/** @param hash a PHC string, or undefined where the account has no password */
export function parametersKeyOf(hash: string | undefined): string | undefined {
  return hash?.split('$')[3];
}

/** Whether the hash was made with other parameters than those wanted now. */
export function needsRehash(hash: string, wanted: HashParameters): boolean {
  return parametersKeyOf(hash) !== parametersKey(wanted);
}

/**
 * A hash that no password has, costing as much to compare with as a real one: random salt (16 bytes) and digest (32), as
 * the real ones have.
 */
export function dummyHash(key: string): string {
  return `$argon2id$v=19$${key}$${unpadded(randomBytes(16))}$${unpadded(randomBytes(32))}`;
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '');
}
