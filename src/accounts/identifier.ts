import { AppError } from '../platform/errors.ts';

const MAX_EMAIL_BYTES = 254;
const MAX_USERNAME_CHARACTERS = 64;

/**
 * The form under which e-mail addresses and user names are compared and kept unique: NFKC and full case folding over all
 * of Unicode, without invisible characters (NFKC_Casefold, Unicode Standard §3.13, D147), without spaces at the ends.
 * 'ÄRGER@…' equals 'ärger@…', 'ＡＢＣ' equals 'abc', 'STRASSE', 'Straße' and 'STRAẞE' are one. The Turkish dotless 'ı'
 * stays apart from 'i', as Unicode's own folding has it. Made here, not by SQL: `lower()` depends on the database's locale.
 */
export function normaliseIdentifier(raw: string): string {
  let current = raw;
  // Folding may uncover what composes or folds again; two rounds settle every character of Unicode 17.
  for (let round = 0; round < 3; round += 1) {
    const next = foldCase(current.normalize('NFKC').replaceAll(/\p{Default_Ignorable_Code_Point}/gu, ''))
      .normalize('NFKC')
      .trim();
    if (next === current) break;
    current = next;
  }
  return current;
}

/**
 * Full case folding from what JavaScript has. Upper case first merges what only differs above ('ß' and 'SS'); character
 * by character, because `toLowerCase` makes a final 'Σ' depend on its neighbours.
 */
function foldCase(text: string): string {
  let folded = '';
  for (const character of text) {
    folded +=
      character === 'ı'
        ? character
        : character.toLowerCase().toUpperCase().toLowerCase().replaceAll('ς', 'σ');
  }
  return folded;
}

/** As Unicode counts them: an emoji outside the BMP is one. */
export function countCharacters(text: string): number {
  return Array.from(text).length;
}

/**
 * @returns the address to keep, in NFC, and the form to compare
 * @throws AppError 422 `email_invalid`
 */
export function parseEmail(raw: string): { email: string; normalised: string } {
  const email = raw.normalize('NFC').trim();
  const normalised = normaliseIdentifier(raw);
  // Whether it can receive mail only a mail can tell; this refuses what cannot be an address at all (RFC 5321 §4.1.2).
  const isPlausible =
    /^[^@\s\p{Cc}]+@[^@\s\p{Cc}]+$/u.test(email) &&
    /^[^@\s\p{Cc}]+@[^@\s\p{Cc}]+$/u.test(normalised) &&
    Buffer.byteLength(email) <= MAX_EMAIL_BYTES;
  if (!isPlausible) throw new AppError('email_invalid', 422, 'This is not an e-mail address.');
  return { email, normalised };
}

/**
 * @returns the name to keep, in NFC, and the form to compare
 * @throws AppError 422 `username_invalid`; one that looks like an e-mail address could pass for somebody else's
 */
export function parseUsername(raw: string): { username: string; normalised: string } {
  const username = raw.normalize('NFC').trim();
  const normalised = normaliseIdentifier(raw);
  const isUsable =
    /^[^@\s\p{C}]+$/u.test(username) &&
    /^[^@\s\p{C}]+$/u.test(normalised) &&
    countCharacters(username) <= MAX_USERNAME_CHARACTERS;
  if (!isUsable) {
    throw new AppError(
      'username_invalid',
      422,
      `A user name has 1 to ${MAX_USERNAME_CHARACTERS} characters, no spaces and no @.`,
    );
  }
  return { username, normalised };
}
