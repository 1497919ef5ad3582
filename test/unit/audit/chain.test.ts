import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import {
  canonicalJson,
  canonicalTime,
  chainHash,
  personalDigest,
  storable,
} from '../../../src/audit/chain.ts';
import { buildRow } from '../../../src/audit/row.ts';

const row = buildRow(
  { type: 'server.started', outcome: 'success', payload: { version: '1' } },
  { requestId: 'r1', ip: '192.0.2.1', userAgent: 'curl' },
  new Date('2026-01-31T23:59:59.999Z'),
);

describe('the canonical form', () => {
  it('is the same whatever the order of keys, at every depth', () => {
    expect(canonicalJson({ b: [{ y: 1, x: 2 }], a: null })).toBe(
      canonicalJson({ a: null, b: [{ x: 2, y: 1 }] }),
    );
  });

  it('leaves out what is undefined, as JSON does', () => {
    expect(canonicalJson({ a: undefined, b: 1 })).toBe('{"b":1}');
  });

  it('survives a way through JSON for any value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(canonicalJson(JSON.parse(JSON.stringify(value)))).toBe(canonicalJson(value));
      }),
    );
  });

  it('keeps six decimals of a second', () => {
    expect(canonicalTime(new Date('2026-01-31T23:59:59.999Z'))).toBe('2026-01-31T23:59:59.999000Z');
  });
});

describe('the hash of a row', () => {
  it.each([
    ['id', 'other'],
    ['at', '2026-01-31T23:59:59.999001Z'],
    ['type', 'server.stopped'],
    ['outcome', 'failure'],
    ['actorKind', 'system'],
    ['actorId', 'x'],
    ['accountId', 'x'],
    ['clientId', 'x'],
    ['sessionUid', 'x'],
    ['grantId', 'x'],
    ['requestId', 'x'],
    ['payload', { version: '2' }],
    ['personalDigest', 'x'],
  ])('covers %s', (field, value) => {
    expect(chainHash('', { ...row, [field]: value })).not.toBe(chainHash('', row));
  });

  it('covers the hash before it', () => {
    expect(chainHash('a', row)).not.toBe(chainHash('b', row));
  });

  it('does not move a value from one field to its neighbour', () => {
    expect(chainHash('', { ...row, clientId: 'x', sessionUid: null })).not.toBe(
      chainHash('', { ...row, clientId: null, sessionUid: 'x' }),
    );
  });

  it('covers personal details through a salted digest only', () => {
    expect(row.personal).toEqual({ ip: '192.0.2.1', user_agent: 'curl' });
    expect(row.personalDigest).toBe(personalDigest(row.personalSalt!, row.personal));
    expect(personalDigest('another salt', row.personal)).not.toBe(row.personalDigest);
    expect(chainHash('', { ...row, personal: null, personalSalt: null } as typeof row)).toBe(
      chainHash('', row),
    );
  });
});

describe('what PostgreSQL cannot store as jsonb', () => {
  it('is replaced before it is hashed', () => {
    expect(storable({ a: ['x\u0000y', '\uD800'], b: 1, c: null })).toEqual({
      a: ['x\uFFFDy', '\uFFFD'],
      b: 1,
      c: null,
    });
  });
});
