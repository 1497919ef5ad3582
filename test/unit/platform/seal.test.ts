import { describe, expect, it } from '@jest/globals';

import { createSealer, sealingKeyFrom } from '../../../src/platform/seal.ts';

const first = sealingKeyFrom('a secret of more than thirty-two characters');
const second = sealingKeyFrom('another secret of more than thirty-two characters');

/** Another end than it has, whichever that is. */
const altered = (sealed: string): string => `${sealed.slice(0, -2)}${sealed.endsWith('AA') ? 'BB' : 'AA'}`;

describe('a sealer', () => {
  it('opens what it sealed', () => {
    const sealer = createSealer([first]);
    expect(sealer.open(sealer.seal('JBSWY3DP', 'totp:1'), 'totp:1').toString()).toBe('JBSWY3DP');
  });

  it('opens what a previous key sealed, and seals with the new one', () => {
    const old = createSealer([first]).seal('kept', 'c');
    const rotated = createSealer([second, first]);
    expect(rotated.open(old, 'c').toString()).toBe('kept');
    expect(rotated.keyIdOf(old)).not.toBe(rotated.currentKeyId);
    expect(rotated.keyIdOf(rotated.seal('kept', 'c'))).toBe(rotated.currentKeyId);
    expect(rotated.knows(rotated.keyIdOf(old))).toBe(true);
    expect(createSealer([second]).knows(rotated.keyIdOf(old))).toBe(false);
  });

  it.each([
    ['another context', (sealed: string) => ({ sealed, context: 'totp:2' })],
    ['an altered text', (sealed: string) => ({ sealed: altered(sealed), context: 'totp:1' })],
    ['an unknown key', () => ({ sealed: createSealer([second]).seal('x', 'totp:1'), context: 'totp:1' })],
    ['something that is not sealed', () => ({ sealed: 'plain', context: 'totp:1' })],
  ])('refuses %s', (_, alter) => {
    const sealer = createSealer([first]);
    const { sealed, context } = alter(sealer.seal('JBSWY3DP', 'totp:1'));
    expect(() => sealer.open(sealed, context)).toThrow();
  });

  it('derives a different key for each purpose, and the same one each time', () => {
    const sealer = createSealer([first]);
    expect(sealer.deriveKey('a')).toEqual(sealer.deriveKey('a'));
    expect(sealer.deriveKey('a')).not.toEqual(sealer.deriveKey('b'));
  });
});
