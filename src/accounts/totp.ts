import { generateSecret, generateURI, verifySync } from 'otplib';

/** RFC 6238 with what every authenticator app takes for granted: SHA-1, 30 seconds, six digits. */
const PERIOD_SECONDS = 30;
const DIGITS = 6;

/** @returns a fresh key of 160 bits, base32 (RFC 4226 §4, R6) */
export function generateTotpSecret(): string {
  return generateSecret({ length: 20 });
}

/** What the QR code holds. */
export function totpUri({
  secret,
  issuerName,
  label,
}: {
  secret: string;
  issuerName: string;
  label: string;
}): string {
  return generateURI({ issuer: issuerName, label, secret, period: PERIOD_SECONDS, digits: DIGITS });
}

/** @returns the six digits, whatever width, spaces and hyphens they were typed with; undefined for anything else */
export function parseTotpCode(raw: string): string | undefined {
  const code = raw.normalize('NFKC').replaceAll(/[\s\p{Pd}\p{Cf}]/gu, '');
  return /^[0-9]{6}$/.test(code) ? code : undefined;
}

/**
 * The time step whose code this is: the present one, the one before or the one after (RFC 6238 §5.2).
 *
 * @param code as `parseTotpCode` gives it
 */
export function matchTotpStep({
  secret,
  code,
  now,
}: {
  secret: string;
  code: string;
  now: Date;
}): number | undefined {
  const result = verifySync({
    secret,
    token: code,
    epoch: Math.floor(now.getTime() / 1000),
    epochTolerance: PERIOD_SECONDS,
    period: PERIOD_SECONDS,
    digits: DIGITS,
    algorithm: 'sha1',
  });
  return result.valid && 'timeStep' in result ? result.timeStep : undefined;
}
