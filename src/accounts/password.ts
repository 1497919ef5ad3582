import { AppError } from '../platform/errors.ts';
import { COMMON_PASSWORDS } from './common-passwords.ts';
import { countCharacters, normaliseIdentifier } from './identifier.ts';

const MAX_PASSWORD_BYTES = 256;

/**
 * The form that is hashed: every kind of space becomes U+0020, then NFC (RFC 8265 §4.2, OpaqueString), so that the same
 * password typed on another keyboard is the same. Nothing is trimmed, folded or cut.
 */
export function preparePassword(raw: string): string {
  return raw.replaceAll(/\p{Zs}/gu, ' ').normalize('NFC');
}

/** Whether it can be anybody's password at all: what is refused here at sign-in is a wrong password, not an error. */
export function isPossiblePassword(prepared: string): boolean {
  return prepared !== '' && Buffer.byteLength(prepared) <= MAX_PASSWORD_BYTES;
}

/**
 * What a new password must be (NIST SP 800-63B-4 §3.1.1.2): long enough, not among the commonest, not the account's own
 * names. No rules about kinds of characters, no expiry.
 *
 * @param own e-mail address, user name and name of the account
 * @returns the prepared password
 * @throws AppError 422 `password_too_short`, `password_too_long`, `password_unusable`, `password_common`
 */
export function checkNewPassword(
  raw: string,
  { minLength, own }: { minLength: number; own: readonly (string | undefined)[] },
): string {
  const password = preparePassword(raw);
  if (countCharacters(password) < minLength) {
    throw new AppError('password_too_short', 422, `A password has at least ${minLength} characters.`);
  }
  if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) {
    throw new AppError('password_too_long', 422, `A password has at most ${MAX_PASSWORD_BYTES} bytes.`);
  }
  if (/[\p{Cc}\p{Cs}]/u.test(password)) {
    throw new AppError('password_unusable', 422, 'A password may not contain control characters.');
  }
  if (isGuessable(password, own)) {
    throw new AppError('password_common', 422, 'This password is easy to guess. Choose another.');
  }
  return password;
}

function isGuessable(password: string, own: readonly (string | undefined)[]): boolean {
  const folded = normaliseIdentifier(password);
  // "passwordpassword", "123456781234": a common one said twice is no better; nor is one character all along.
  const repeated = /^(.+?)\1+$/su.exec(folded)?.[1];
  const candidates = [folded, folded.replaceAll(/[^\p{L}\p{N}]/gu, ''), ...(repeated ? [repeated] : [])];
  if (candidates.some((candidate) => COMMON_PASSWORDS.has(candidate))) return true;
  if (repeated !== undefined && countCharacters(repeated) <= 2) return true;
  const names = own
    .filter((name) => name !== undefined)
    .map(normaliseIdentifier)
    .flatMap((name) => [name, name.split('@')[0]!]);
  return names.some((name) => name.length >= 3 && (folded === name || repeated === name));
}
