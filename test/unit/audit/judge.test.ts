import { describe, expect, it } from '@jest/globals';

import { prepareBatch, type Batch, type PreparedBatch } from '../../../src/audit/batch.ts';
import { judge, type RevokedFact, type SpentFact } from '../../../src/audit/judge.ts';
import { buildBatch, buildSpend } from '../../support/audit.ts';

const now = new Date('2026-03-01T12:00:00.400Z');
const later = new Date('2026-03-02T12:00:00Z');

function kinds(
  batches: Partial<Batch>[],
  facts: { spent?: SpentFact[]; revoked?: RevokedFact[] } = {},
): string[] {
  const prepared: PreparedBatch[] = batches.map((batch) => prepareBatch(buildBatch(batch), now));
  return judge(
    prepared,
    { spent: facts.spent ?? [], revoked: facts.revoked ?? [] },
    ({ isSettled, ageMs }) => isSettled || ageMs > 10_000,
  ).map(({ kind }) => kind);
}

describe('judging the batches of one flush', () => {
  it('lets the first of equal spends win', () => {
    expect(
      kinds([{ spent: [buildSpend('a')] }, { spent: [buildSpend('a')] }, { spent: [buildSpend('b')] }]),
    ).toEqual(['accepted', 'spent', 'accepted']);
  });

  it('lets a batch spend the same credential twice in itself', () => {
    expect(kinds([{ spent: [buildSpend('a'), buildSpend('a')] }])).toEqual(['accepted']);
  });

  it('does not count the spends of a batch that is refused itself', () => {
    const revoked: RevokedFact[] = [{ kind: 'grant', subject: 'g', before: undefined }];
    expect(
      kinds(
        [
          { spent: [buildSpend('a')], requireLive: [{ grantId: 'g', issuedAt: now }] },
          { spent: [buildSpend('a')] },
        ],
        { revoked },
      ),
    ).toEqual(['revoked', 'accepted']);
  });

  it.each([
    ['settled', { isSettled: true, ageMs: 5 }, 'spent'],
    ['unsettled and young', { isSettled: false, ageMs: 5 }, 'undecided'],
    ['unsettled and old', { isSettled: false, ageMs: 60_000 }, 'spent'],
  ])('a spend in the database that is %s', (_, fact, verdict) => {
    expect(
      kinds([{ spent: [buildSpend('a')] }], { spent: [{ digest: 'a', spendId: 's', ...fact }] }),
    ).toEqual([verdict]);
  });

  it('sees revocations of the same flush, wherever they stand in it', () => {
    const revocation = { kind: 'grant', id: 'g', expiresAt: later, reason: 'test' } as const;
    const required = { requireLive: [{ grantId: 'g', issuedAt: now }] };
    expect(kinds([required, { revocations: [revocation] }, required])).toEqual([
      'revoked',
      'accepted',
      'revoked',
    ]);
  });

  it('does not turn a batch against its own revocations', () => {
    const revocation = { kind: 'session', id: 's', expiresAt: later, reason: 'test' } as const;
    expect(kinds([{ revocations: [revocation], requireLive: [{ sessionUid: 's', issuedAt: now }] }])).toEqual(
      ['accepted'],
    );
  });

  it.each([
    ['earlier', new Date('2026-03-01T11:59:59Z'), 'revoked'],
    ['in the same second, even after it', new Date('2026-03-01T12:00:00.900Z'), 'revoked'],
    ['in the next second', new Date('2026-03-01T12:00:01Z'), 'accepted'],
  ])('of what was issued to a revoked account %s', (_, issuedAt, verdict) => {
    expect(
      kinds([{ requireLive: [{ accountId: 'a', issuedAt }] }], {
        revoked: [{ kind: 'account', subject: 'a', before: now }],
      }),
    ).toEqual([verdict]);
  });

  it.each([
    ['before it', new Date('2026-03-01T11:59:59Z'), 'revoked'],
    ['after it', new Date('2026-03-01T12:00:01Z'), 'accepted'],
  ])('of a consent that was given %s and withdrawn', (_, issuedAt, verdict) => {
    expect(
      kinds([{ requireLive: [{ consent: 'a c', issuedAt }] }], {
        revoked: [{ kind: 'consent', subject: 'a c', before: now }],
      }),
    ).toEqual([verdict]);
  });

  it('does not mistake the kinds of subjects', () => {
    expect(
      kinds([{ requireLive: [{ sessionUid: 'x', issuedAt: now }] }], {
        revoked: [{ kind: 'grant', subject: 'x', before: undefined }],
      }),
    ).toEqual(['accepted']);
  });
});
