import argon2 from 'argon2';

import type { HashingWork } from './hasher.ts';

/** The work itself, in whatever process this is: booleans for a comparison, a PHC string for a new hash. */
export async function runHashing(work: HashingWork): Promise<boolean[] | string> {
  if (work.kind === 'hash') {
    const { memoryKib, iterations, parallelism } = work.parameters;
    return argon2.hash(work.password, {
      type: argon2.argon2id,
      memoryCost: memoryKib,
      timeCost: iterations,
      parallelism,
      hashLength: 32,
    });
  }
  const matches: boolean[] = [];
  // One after the other: so the memory for one hash is the memory for an attempt.
  for (const hash of work.hashes) matches.push(await argon2.verify(hash, work.password));
  return matches;
}
