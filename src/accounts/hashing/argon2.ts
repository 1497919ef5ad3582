import argon2 from 'argon2';

import type { HashingWork } from './hasher.ts';

/** The work itself, in whatever process this is: booleans for a comparison, a PHC string for a new hash. */
export async function runHashing(work: HashingWork): Promise<boolean[] | string> {
  if (work.kind === 'hash') {
    const { memoryKib, iterations, parallelism } = work.parameters;
    const hash = await argon2.hash(work.password, {
      type: argon2.argon2id,
      memoryCost: memoryKib,
      timeCost: iterations,
      parallelism,
      hashLength: 32,
    });
    // The library sorts the parameters by name; the order of the PHC format, which other implementations ask for, is m, t, p.
    return hash.replace(/\$m=(\d+),p=(\d+),t=(\d+)\$/, '$m=$1,t=$3,p=$2$');
  }
  const matches: boolean[] = [];
  // One after the other: so the memory for one hash is the memory for an attempt.
  for (const hash of work.hashes) matches.push(await argon2.verify(hash, work.password));
  return matches;
}
