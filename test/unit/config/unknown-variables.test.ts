import { describe, expect, it } from '@jest/globals';

import { closest, editDistance } from '../../../src/config/unknown-variables.ts';

describe('the edit distance', () => {
  it.each([
    ['', '', 0],
    ['', 'abc', 3],
    ['abc', '', 3],
    ['kitten', 'sitting', 3],
    ['issuer', 'isuser', 2],
    ['port', 'port', 0],
    ['flaw', 'lawn', 2],
  ])('of %j and %j is %i', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
    expect(editDistance(b, a)).toBe(distance);
  });
});

describe('the closest name', () => {
  it('is the one with the fewest edits', () => {
    expect(closest('GATEHOUSE_LOG_LEVL', ['GATEHOUSE_LOG_FORMAT', 'GATEHOUSE_LOG_LEVEL'])).toBe(
      'GATEHOUSE_LOG_LEVEL',
    );
  });

  it('is none when nothing is near', () => {
    expect(closest('GATEHOUSE_COLOUR', ['GATEHOUSE_LOG_LEVEL', 'GATEHOUSE_ISSUER'])).toBeUndefined();
    expect(closest('GATEHOUSE_X', [])).toBeUndefined();
  });
});
