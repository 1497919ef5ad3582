import { describe, expect, it } from '@jest/globals';

import { checkNewPassword, isPossiblePassword, preparePassword } from '../../../src/accounts/password.ts';

const check = (raw: string): string =>
  checkNewPassword(raw, { minLength: 12, own: ['Margaret.Hamilton@example.org', 'mhamilton', undefined] });

describe('passwords', () => {
  it.each([
    ['no kinds of characters are asked for', 'juniper anvil sundial'],
    ['twelve characters are enough', 'vq7 kettle m'],
    ['emoji count as characters', '🦊🦉🐢🐙🦋🐌🦀🐬🦜🐝🦔🐳'],
    ['spaces at the ends are part of it', ' fjord lamp basil '],
    ['256 bytes are allowed', `${'abcdefgh'.repeat(31)}zyxwvuts`],
  ])('accepts: %s', (_case, raw) => {
    expect(check(raw)).toBe(raw);
  });

  it.each([
    ['password_too_short', 'eleven char'],
    ['password_too_short', '🦊🦉🐢🐙🦋🐌'],
    ['password_too_short', ''],
    ['password_too_long', 'é'.repeat(129)],
    ['password_unusable', 'tabs\tare not typed'],
    ['password_unusable', 'nul\u0000 neither here'],
    ['password_unusable', 'half a \ud83d character'],
    ['password_common', 'password1234'],
    ['password_common', 'PASSWORD1234'],
    ['password_common', 'correct horse battery staple'],
    ['password_common', 'p-a-s-s-w-o-r-d-1-2-3'],
    ['password_common', 'passwordpassword'],
    ['password_common', 'aaaaaaaaaaaaaaa'],
    ['password_common', 'abababababababab'],
    ['password_common', 'password!!!!!!'],
    ['password_common', 'margaret.hamilton@example.org'],
    ['password_common', 'Margaret.Hamilton'],
    ['password_common', 'mhamiltonmhamilton'],
  ])('refuses with %s: %j', (code, raw) => {
    expect(() => check(raw)).toThrow(expect.objectContaining({ code, status: 422 }));
  });

  it.each([
    ['another form of the same letter', 'cafe\u0301 au lait noir', 'café au lait noir'],
    ['a space of another width', 'fjord\u3000lamp\u00A0basil', 'fjord lamp basil'],
  ])('is the same with %s', (_case, typed, other) => {
    expect(preparePassword(typed)).toBe(preparePassword(other));
  });

  it('does not fold case or width', () => {
    expect(preparePassword('Ａbc')).toBe('Ａbc');
  });

  it.each([
    ['', false],
    ['x', true],
    ['x'.repeat(256), true],
    ['x'.repeat(257), false],
  ])('at sign-in %j is possible: %j', (prepared, expected) => {
    expect(isPossiblePassword(prepared)).toBe(expected);
  });
});
