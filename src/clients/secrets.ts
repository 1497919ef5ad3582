import { hash as digest, randomBytes, timingSafeEqual } from 'node:crypto';

import { AppError } from '../platform/errors.ts';
import { randomToken, uuidv7 } from '../platform/ids.ts';
import type { Client, ClientSecret } from './client.ts';

const SALT_SIZE_BYTES = 16;
const MAX_LENGTH = 512;

/** A new secret of 256 random bits, base64url: it needs no encoding in a Basic header (RFC 6749 §2.3.1). */
export function generateSecret(): string {
  return randomToken(32);
}

/** How the secret is stored. A fast hash will do: nobody tries 2^256 guesses. */
export function hashSecret(secret: string, now: Date): ClientSecret {
  const salt = randomBytes(SALT_SIZE_BYTES);
  return { id: uuidv7(now), salt, hash: hash(salt, secret), createdAt: now };
}

/**
 * Whether the secret is one of the client's live ones. Takes the same time whichever it is, and where none is.
 */
export function verifySecret(client: Pick<Client, 'secrets'>, presented: string, now: Date): boolean {
  if (presented.length === 0 || presented.length > MAX_LENGTH) return false;
  let isMatch = false;
  for (const secret of liveSecrets(client, now)) {
    const isThisOne = timingSafeEqual(hash(secret.salt, presented), secret.hash);
    isMatch ||= isThisOne;
  }
  return isMatch;
}

export function liveSecrets({ secrets }: Pick<Client, 'secrets'>, now: Date): ClientSecret[] {
  return secrets.filter(({ expiresAt }) => !expiresAt || expiresAt > now);
}

/**
 * Checks a secret brought along from elsewhere: being stored under a fast hash, it must be beyond guessing.
 *
 * @throws AppError `invalid_client` (400)
 */
export function checkImportedSecret(secret: string): void {
  if (!/^[\x21-\x7e]+$/.test(secret) || secret.length < 24 || secret.length > MAX_LENGTH) {
    throw refuse(`be 24 to ${MAX_LENGTH} visible ASCII characters`);
  }
  if (new Set(secret).size < 8) throw refuse('be random: it repeats a few characters');
}

function hash(salt: Buffer, secret: string): Buffer {
  return digest('sha256', Buffer.concat([salt, Buffer.from(secret)]), 'buffer');
}

function refuse(advice: string): AppError {
  return new AppError(
    'invalid_client',
    400,
    `An imported client secret must ${advice}; leave it out and one is generated.`,
  );
}
