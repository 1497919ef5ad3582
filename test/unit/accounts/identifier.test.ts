import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { normaliseIdentifier, parseEmail, parseUsername } from '../../../src/accounts/identifier.ts';

describe('names by which people sign in', () => {
  it.each([
    ['ÄRGER@example.org', 'ärger@example.org'],
    ['A\u0308RGER@example.org', 'ärger@example.org'],
    ['STRASSE', 'straße'],
    ['STRAẞE', 'straße'],
    ['ＡＬＩＣＥ＠ｅｘａｍｐｌｅ．ｏｒｇ', 'alice@example.org'],
    ['ΟΔΥΣΣΕΥΣ', 'οδυσσευς'],
    ['ΟΔΥΣΣΕΥΣ@example.org', 'οδυσσευσ@EXAMPLE.org'],
    ['ﬁnn', 'FINN'],
    ['ǅordje', 'ǆORDJE'],
    ['ᾳ', 'ΑΙ'],
    ['Ω', 'ω'],
    ['  bob@example.org\t', 'BOB@EXAMPLE.ORG'],
    ['bo\u200Bb', 'bob'],
    ['\u00ADbob\uFEFF', 'bob'],
    ['Иван', 'ИВАН'],
    ['ᏣᎳᎩ', 'ꮳꮃꭹ'],
    ['𐐨', '𐐀'],
  ])('takes %j and %j for one', (a, b) => {
    expect(normaliseIdentifier(a)).toBe(normaliseIdentifier(b));
  });

  it.each([
    ['admın', 'admin'],
    ['arger', 'ärger'],
    ['pаypal', 'paypal'],
    ['strase', 'straße'],
    ['bob@example.org', 'bob@example.com'],
  ])('keeps %j and %j apart', (a, b) => {
    expect(normaliseIdentifier(a)).not.toBe(normaliseIdentifier(b));
  });

  it('changes nothing that is normalised already', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const once = normaliseIdentifier(text);
        expect(normaliseIdentifier(once)).toBe(once);
        expect(normaliseIdentifier(text.normalize('NFD'))).toBe(once);
      }),
    );
  });

  it('keeps an e-mail address as it was written', () => {
    expect(parseEmail(' Ärger@Example.org ')).toEqual({
      email: 'Ärger@Example.org',
      normalised: 'ärger@example.org',
    });
  });

  it.each([
    '',
    '@',
    'alice',
    '@example.org',
    'alice@',
    'a b@example.org',
    'a@b@example.org',
    'a@b＠example.org',
    'a\u0000@example.org',
    'a\n@example.org',
    '\u200B@example.org',
    `${'a'.repeat(250)}@example.org`,
  ])('refuses %j as an e-mail address', (raw) => {
    expect(() => parseEmail(raw)).toThrow(expect.objectContaining({ code: 'email_invalid', status: 422 }));
  });

  it.each([
    '',
    ' ',
    'a b',
    'alice@example.org',
    'alice＠example.org',
    'a\u202Eb',
    '\u200B',
    'x'.repeat(65),
    'a\u0007',
  ])('refuses %j as a user name', (raw) => {
    expect(() => parseUsername(raw)).toThrow(
      expect.objectContaining({ code: 'username_invalid', status: 422 }),
    );
  });
});
