import { mkdir, open, readFile } from 'node:fs/promises';
import path from 'node:path';

import { randomToken } from './ids.ts';

/**
 * The secret that seals what is stored, where no setting gives one: made once, in a file that only its owner reads.
 *
 * @returns the secret; `isNew` on the first start
 */
export async function readOrCreateSecret(file: string): Promise<{ secret: string; isNew: boolean }> {
  // Root's embedded PostgreSQL runs as another user, who passes through this folder (and can list nothing in it).
  await mkdir(path.dirname(file), { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 });
  try {
    // 'wx': of two processes that start at once, one makes it and the other reads it.
    const handle = await open(file, 'wx', 0o600);
    try {
      const secret = randomToken(48);
      await handle.writeFile(`${secret}\n`);
      await handle.sync();
      return { secret, isNew: true };
    } finally {
      await handle.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return { secret: await readWritten(file), isNew: false };
}

/** The process that makes the file may not have written it yet. */
async function readWritten(file: string): Promise<string> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const secret = (await readFile(file, 'utf8')).trim();
    if (secret.length >= 32) return secret;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${file} holds no secret: restore it from your copy, or the stored keys cannot be opened`);
}
