import { describe, expect, it } from '@jest/globals';
import { generateSync } from 'otplib';

import { generateTotpSecret, matchTotpStep, parseTotpCode, totpUri } from '../../../src/accounts/totp.ts';

/** "12345678901234567890" of RFC 6238, appendix B. */
const RFC_SECRET = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ';

describe('TOTP codes', () => {
  it.each([
    [59, '287082'],
    [1111111109, '081804'],
    [1111111111, '050471'],
    [1234567890, '005924'],
    [2000000000, '279037'],
    [20000000000, '353130'],
  ])('at %d the code of RFC 6238 appendix B is %s', (epochSeconds, code) => {
    expect(matchTotpStep({ secret: RFC_SECRET, code, now: new Date(epochSeconds * 1000) })).toBe(
      Math.floor(epochSeconds / 30),
    );
  });

  it.each([
    [-2, false],
    [-1, true],
    [0, true],
    [1, true],
    [2, false],
  ])('a code %d steps away is accepted: %j', (steps, isAccepted) => {
    const secret = generateTotpSecret();
    for (const offset of [0, 1, 15, 29]) {
      const epoch = 1_800_000_000 + offset;
      const code = generateSync({ secret, epoch: epoch + steps * 30 });
      const step = matchTotpStep({ secret, code, now: new Date(epoch * 1000 + 999) });
      expect(step).toBe(isAccepted ? Math.floor(epoch / 30) + steps : undefined);
    }
  });

  it.each([
    ['123456', '123456'],
    ['123 456', '123456'],
    [' 123-456 ', '123456'],
    ['123–456', '123456'],
    ['１２３４５６', '123456'],
    ['１２３　４５６', '123456'],
    ['1\u200B23456', '123456'],
    ['000000', '000000'],
    ['12345', undefined],
    ['1234567', undefined],
    ['', undefined],
    ['abcdef', undefined],
    ['12345a', undefined],
    ['-12345', undefined],
    ['1e5000', undefined],
    ['0x1234', undefined],
    ['12345\u0000', undefined],
    ['١٢٣٤٥٦', undefined],
    ['9'.repeat(100_000), undefined],
  ])('%j is read as %j', (raw, code) => {
    expect(parseTotpCode(raw)).toBe(code);
  });

  it('are shown as a URI that authenticator apps read', () => {
    const uri = new URL(totpUri({ secret: RFC_SECRET, issuerName: 'Ä Gate', label: 'a+b@example.org' }));
    expect(uri.protocol).toBe('otpauth:');
    expect(decodeURIComponent(uri.pathname)).toContain('Ä Gate:a+b@example.org');
    expect(uri.searchParams.get('secret')).toBe(RFC_SECRET);
    expect(uri.searchParams.get('issuer')).toBe('Ä Gate');
  });

  it('come from keys of 160 bits, each another', () => {
    const secrets = new Set(Array.from({ length: 50 }, generateTotpSecret));
    expect(secrets.size).toBe(50);
    for (const secret of secrets) expect(secret).toMatch(/^[A-Z2-7]{32}$/);
  });
});
