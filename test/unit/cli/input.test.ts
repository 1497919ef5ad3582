import { describe, expect, it } from '@jest/globals';

import { parseCount, parseDuration, parseTime } from '../../../src/cli/input.ts';

const NOW = new Date('2026-03-10T12:00:00Z');

describe('a time', () => {
  it.each([
    ['10m', '2026-03-10T11:50:00.000Z'],
    ['2h', '2026-03-10T10:00:00.000Z'],
    ['3d', '2026-03-07T12:00:00.000Z'],
    ['1w', '2026-03-03T12:00:00.000Z'],
    ['45s', '2026-03-10T11:59:15.000Z'],
    ['2026-01-31', '2026-01-31T00:00:00.000Z'],
    ['2026-01-31T09:30', '2026-01-31T09:30:00.000Z'],
    ['2026-01-31 09:30', '2026-01-31T09:30:00.000Z'],
    ['2026-01-31T09:30:15.250Z', '2026-01-31T09:30:15.250Z'],
    ['2026-01-31T09:30:15.250000Z', '2026-01-31T09:30:15.250Z'],
    ['2026-01-31T09:30+02:00', '2026-01-31T07:30:00.000Z'],
  ])('%s is %s', (text, expected) => {
    expect(parseTime(text, NOW).toISOString()).toBe(expected);
  });

  it.each(['', 'yesterday', '10', '10x', '-10m', '2026-13-01', '2026-01-31T25:00Z', 'Jan 3 2026', '5 m'])(
    '%j is none',
    (text) => {
      expect(() => parseTime(text, NOW)).toThrow('Give a time');
    },
  );
});

describe('a duration', () => {
  it.each([
    ['0', 0],
    ['90', 90],
    ['30s', 30],
    ['10m', 600],
    ['2h', 7_200],
    ['3d', 259_200],
    ['1w', 604_800],
  ])('%s is %i seconds', (text, expected) => {
    expect(parseDuration(text)).toBe(expected);
  });

  it.each(['', '-1', '1.5h', '1y', 'h', '1h30m', '9999999999'])('%j is none', (text) => {
    expect(() => parseDuration(text)).toThrow('Give seconds');
  });
});

describe('a number of things', () => {
  it('is whole and at least 1', () => {
    expect(parseCount('7')).toBe(7);
    for (const text of ['0', '-1', '1.5', 'all', '']) expect(() => parseCount(text)).toThrow('whole number');
  });
});
