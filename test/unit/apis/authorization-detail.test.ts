import { describe, expect, it } from '@jest/globals';

import {
  canonicalDetail,
  faultOfDetail,
  isWithin,
  presentDetail,
} from '../../../src/apis/authorization-detail.ts';
import { defineType, type AuthorizationType } from '../../../src/apis/authorization-type.ts';

const type = (fields: unknown): AuthorizationType => ({
  ...defineType({ name: 'Something', fields }),
  type: 'something',
  api: 'https://api.example/v1',
  apiName: 'Example',
  createdAt: new Date(),
  updatedAt: new Date(),
});
const field = (kind: string, more: object = {}) => [{ name: 'it', kind, label: 'It', ...more }];
const choices = {
  choices: [
    { value: 'a', label: 'The first' },
    { value: 'b', label: 'The second' },
  ],
};

describe('a value', () => {
  it.each<[string, object, unknown, string[]]>([
    ['text', {}, 'as it is', ['as it is']],
    ['texts', {}, ['one', 'two'], ['one', 'two']],
    ['choice', choices, 'b', ['The second']],
    ['choices', choices, ['b', 'a'], ['The second', 'The first']],
    ['integer', {}, 1_234_567, ['1,234,567']],
    ['boolean', {}, false, ['No']],
    ['boolean', {}, true, ['Yes']],
    ['date', {}, '2028-02-29', ['29 February 2028']],
    ['amount', {}, { currency: 'EUR', amount: '0.005' }, ['EUR 0.005']],
    ['amount', {}, { currency: 'JPY', amount: '1000000' }, ['JPY 1,000,000']],
    ['amount', {}, { currency: 'USD', amount: '999999999999999.999999' }, ['USD 999,999,999,999,999.999999']],
    [
      'group',
      { fields: [...field('boolean'), { name: 'on', kind: 'date', label: 'On' }] },
      { on: '2026-01-02', it: true },
      ['It: Yes', 'On: 2 January 2026'],
    ],
  ])('of the kind %s %j is told in words', (kind, more, value, words) => {
    const known = type(field(kind, more));
    const detail = { type: 'something', it: value };
    expect(faultOfDetail(known, detail)).toBeUndefined();
    expect(presentDetail(known, detail)).toEqual([{ label: 'It', values: words }]);
  });

  it.each<[string, object, unknown]>([
    ['text', {}, ''],
    ['text', {}, null],
    ['text', {}, 'a\u0000b'],
    ['text', { maxLength: 3 }, 'abcd'],
    ['texts', {}, 'one'],
    ['texts', {}, []],
    ['texts', {}, ['one', 'one']],
    ['texts', {}, ['one', 2]],
    ['texts', {}, Array.from({ length: 51 }, (_, n) => `${n}`)],
    ['choice', choices, 'c'],
    ['choice', choices, ['a']],
    ['choices', choices, ['a', 'c']],
    ['integer', {}, 1.5],
    ['integer', {}, 2 ** 53],
    ['integer', {}, '7'],
    ['boolean', {}, 'true'],
    ['date', {}, '2026-02-29'],
    ['date', {}, '2026-1-1'],
    ['date', {}, '+012026-01-01'],
    ['amount', {}, '5 EUR'],
    ['amount', {}, { currency: 'EUR', amount: '05' }],
    ['amount', {}, { currency: 'EUR', amount: '1e3' }],
    ['amount', {}, { currency: 'EUR', amount: '1,000' }],
    ['amount', {}, { currency: 'EURO', amount: '5' }],
    ['group', { fields: field('text') }, 'text'],
    ['group', { fields: field('text') }, [{ it: 'x' }]],
    ['group', { fields: field('text') }, { other: 'x' }],
  ])('of the kind %s %j cannot be %j', (kind, more, value) => {
    expect(faultOfDetail(type(field(kind, more)), { type: 'something', it: value })).toBeDefined();
  });
});

describe('a location', () => {
  it.each<[string, boolean]>([
    ['https://api.example/v1', true],
    ['https://api.example/v1/accounts', true],
    ['https://api.example/v10', false],
    ['https://api.example/v1/../admin', false],
    ['https://api.example/v1/%2e%2E/admin', false],
    ['https://api.example/', false],
    ['https://api.example/v1.evil.example', false],
  ])('%s: %j', (location, isGood) => {
    const fault = faultOfDetail(type([]), { type: 'something', locations: [location] });
    expect(fault === undefined).toBe(isGood);
  });
});

describe('what is asked of what was granted', () => {
  const granted = { type: 'something', actions: ['a', 'b'], limit: { amount: '5', currency: 'EUR' } };
  it.each<[string, object, boolean]>([
    ['the same', {}, true],
    ['the same in another order', { actions: ['b', 'a'], limit: { currency: 'EUR', amount: '5' } }, true],
    ['a shorter list', { actions: ['b'] }, true],
    ['a place more', { locations: ['https://api.example/v1/x'] }, true],
    ['an empty list', { actions: [] }, false],
    ['a longer list', { actions: ['a', 'b', 'c'] }, false],
    ['a smaller amount', { limit: { currency: 'EUR', amount: '4' } }, false],
    ['no limit', { limit: undefined }, false],
    ['a field more', { more: 'x' }, false],
    ['another type', { type: 'other' }, false],
  ])('%s', (_, change, expected) => {
    expect(isWithin({ ...granted, ...change }, granted)).toBe(expected);
  });

  it('has one canonical form', () => {
    expect(canonicalDetail({ actions: ['b', 'a'], type: 'something' })).toBe(
      canonicalDetail({ type: 'something', actions: ['a', 'b'] }),
    );
  });
});

describe('a type is refused', () => {
  it.each<[string, unknown]>([
    ['with a field called type', [{ name: 'type', kind: 'text', label: 'X' }]],
    ['with a field called as what objects have', [{ name: '__proto__', kind: 'text', label: 'X' }]],
    ['with a field of no known kind', field('blob')],
    ['with a property that means nothing', field('text', { secret: true })],
    ['with two fields of one name', [...field('text'), ...field('date')]],
    ['with a group in a group', field('group', { fields: field('group', { fields: field('text') }) })],
    ['with a label that hides', [{ name: 'x', kind: 'text', label: 'a\u200Bb' }]],
    ['with a choice of nothing', field('choice', { choices: [] })],
    ['with actions that are no list', [{ name: 'actions', kind: 'text', label: 'X' }]],
    ['with an identifier that is a list', [{ name: 'identifier', kind: 'texts', label: 'X' }]],
    ['with fields that are no list', { it: 'text' }],
  ])('%s', (_, fields) => {
    expect(() => defineType({ name: 'Something', fields })).toThrow(/cannot be registered so/);
  });

  it('without a name that can be read', () => {
    expect(() => defineType({ name: ' ' })).toThrow(/name/);
  });
});
