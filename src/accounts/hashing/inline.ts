import { runHashing } from './argon2.ts';
import type { Hasher, HashingWork } from './hasher.ts';

/** Hashes in this process: for commands, which serve nobody else meanwhile. Never busy. */
export function createInlineHasher(): Hasher {
  let computed = 0;
  let running = 0;
  const run = async (work: HashingWork): Promise<boolean[] | string> => {
    running += 1;
    try {
      return await runHashing(work);
    } finally {
      running -= 1;
      computed += work.kind === 'hash' ? 1 : work.hashes.length;
    }
  };
  return {
    reserve: () => ({
      kind: 'ok',
      slot: {
        verifyEach: async (password, hashes) =>
          (await run({ kind: 'verify', password, hashes })) as boolean[],
        hash: async (password, parameters) => (await run({ kind: 'hash', password, parameters })) as string,
        release: () => {},
      },
    }),
    hash: async (password, parameters) => ({
      kind: 'ok',
      hash: (await run({ kind: 'hash', password, parameters })) as string,
    }),
    use: () => ({
      workers: 0,
      running,
      queued: 0,
      reserved: running,
      capacity: Number.POSITIVE_INFINITY,
      computed,
      refused: 0,
    }),
    close: async () => {},
  };
}
