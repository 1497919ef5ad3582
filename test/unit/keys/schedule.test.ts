import { describe, expect, it } from '@jest/globals';

import { areCookieKeysDue, dueForRotation } from '../../../src/keys/schedule.ts';
import type { KeyTimes } from '../../../src/keys/signing-key.ts';

const now = new Date('2026-06-01T12:00:00Z');
const ago = (seconds: number): Date => new Date(now.getTime() - seconds * 1000);
const schedule = { rotateAfterSeconds: 1000, publishBeforeSigningSeconds: 100 };

function key(age: number, overrides: Partial<KeyTimes> = {}): KeyTimes {
  return { kid: `key-${age}`, alg: 'ES256', activatesAt: ago(age), ...overrides };
}

describe('the next key is made', () => {
  it.each<[string, KeyTimes[], string[]]>([
    ['not yet while the current one is young', [key(899)], []],
    ['as long before the current one is old as it has to be published', [key(900)], ['ES256']],
    ['also when that was missed', [key(50_000)], ['ES256']],
    ['not where one waits already', [key(950, { retiresAt: ago(-50), removesAt: ago(-500) }), key(-50)], []],
    ['not for what is retired', [key(5000, { retiresAt: ago(10), removesAt: ago(-10) }), key(10)], []],
    [
      'for each algorithm by itself',
      [key(900), key(10, { alg: 'RS256' }), key(950, { alg: 'EdDSA' })],
      ['ES256', 'EdDSA'],
    ],
    ['never where there are no keys', [], []],
  ])('%s', (_what, keys, due) => {
    expect(dueForRotation(keys, now, schedule)).toEqual(due);
  });

  it('by nobody where the schedule is off', () => {
    expect(dueForRotation([key(1_000_000)], now, { ...schedule, rotateAfterSeconds: 0 })).toEqual([]);
  });
});

describe('the next cookie key is made', () => {
  it.each([
    [[999, 5000], 1000, false],
    [[1000, 5000], 1000, true],
    [[1000, -15], 1000, false],
    [[], 1000, false],
    [[90_000], 0, false],
  ])('of ages %j, after %i: %s', (ages, rotateAfterSeconds, isDue) => {
    const keys = ages.map((age) => ({ activatesAt: ago(age) }));
    expect(areCookieKeysDue(keys, now, { rotateAfterSeconds })).toBe(isDue);
  });
});
