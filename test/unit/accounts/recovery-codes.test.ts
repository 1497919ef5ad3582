import { randomBytes } from 'node:crypto';

import { describe, expect, it } from '@jest/globals';

import {
  generateRecoveryCode,
  parseRecoveryCode,
  recoveryCodeDigest,
} from '../../../src/accounts/recovery-codes.ts';

describe('recovery codes', () => {
  it('are grouped, unambiguous and each another', () => {
    const codes = new Set(Array.from({ length: 200 }, generateRecoveryCode));
    expect(codes.size).toBe(200);
    for (const code of codes) expect(code).toMatch(/^(?:[0-9a-hjkmnp-tv-z]{4}-){2}[0-9a-hjkmnp-tv-z]{4}$/);
  });

  it.each([
    ['x7k2-9fqd-4m0v', 'x7k29fqd4m0v'],
    ['X7K2 9FQD 4MOV', 'x7k29fqd4m0v'],
    ['x7k29fqd4mov', 'x7k29fqd4m0v'],
    ['Il0O-9fqd-4m0v', '11009fqd4m0v'],
    ['ｘ７ｋ２—９ｆｑｄ—４ｍ０ｖ', 'x7k29fqd4m0v'],
    ['', undefined],
    ['123456', undefined],
    ['x7k2-9fqd-4m0', undefined],
    ['x7k2-9fqd-4m0vv', undefined],
    ['u7k2-9fqd-4m0v', undefined],
    ['x7k2-9fqd-4m0\u0000', undefined],
    ['é7k2-9fqd-4m0v', undefined],
  ])('%j is read as %j', (raw, code) => {
    expect(parseRecoveryCode(raw)).toBe(code);
  });

  it('have one digest however they are typed, and another under another key', () => {
    const key = randomBytes(32);
    const code = generateRecoveryCode();
    const typed = parseRecoveryCode(code.toUpperCase().replaceAll('-', ' '))!;
    expect(recoveryCodeDigest(key, typed)).toBe(recoveryCodeDigest(key, code));
    expect(recoveryCodeDigest(randomBytes(32), code)).not.toBe(recoveryCodeDigest(key, code));
  });
});
