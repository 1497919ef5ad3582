import { describe, expect, it } from '@jest/globals';

import { orderCookieKeys } from '../../../src/keys/cookie-keys.ts';
import { generateSigningKey } from '../../../src/keys/generate.ts';
import { CLOCK_SLACK_SECONDS, planRotation, stateAt, viewAt } from '../../../src/keys/keyset.ts';
import type { KeyTimes, SigningAlg } from '../../../src/keys/signing-key.ts';

const T0 = new Date('2026-06-01T12:00:00Z');
const at = (seconds: number): Date => new Date(T0.getTime() + seconds * 1_000);
const TIMES = { publishBeforeSigningSeconds: 3_600, longestTokenSeconds: 600 };
const SLACK = CLOCK_SLACK_SECONDS;

function key(
  kid: string,
  activates: number,
  retires?: number,
  removes?: number,
  alg: SigningAlg = 'RS256',
): KeyTimes {
  return {
    kid,
    alg,
    activatesAt: at(activates),
    ...(retires !== undefined && { retiresAt: at(retires) }),
    ...(removes !== undefined && { removesAt: at(removes) }),
  };
}

describe('a signing key', () => {
  it.each([
    [-1, 'next'],
    [0, 'current'],
    [99, 'current'],
    [100, 'retired'],
    [199, 'retired'],
    [200, 'removed'],
  ])('that signs from 0 to 100 and is published until 200 is at %i %s', (seconds, state) => {
    expect(stateAt(key('a', 0, 100, 200), at(seconds))).toBe(state);
  });
});

describe('the keys of a moment', () => {
  // One rotation of RS256 asked for at 0, while ES256 rests.
  const keys = [
    key('old', -1_000, 3_600, 4_260),
    key('new', 3_600),
    key('gone', -9_000, -1_000, -340),
    key('es', -1_000, undefined, undefined, 'ES256'),
  ];
  it.each([
    [0, ['old', 'es'], ['new'], [], 3_600],
    [3_599, ['old', 'es'], ['new'], [], 3_600],
    [3_600, ['new', 'es'], [], ['old'], 4_260],
    [4_259, ['new', 'es'], [], ['old'], 4_260],
    [4_260, ['new', 'es'], [], [], undefined],
  ])(
    'at %i: %j sign, %j are next, %j are retired, until %s',
    (seconds, signing, next, retired, changesAt) => {
      const view = viewAt(keys, at(seconds));
      expect(view.signing.map(({ kid }) => kid)).toEqual(signing);
      expect(view.next.map(({ kid }) => kid)).toEqual(next);
      expect(view.retired.map(({ kid }) => kid)).toEqual(retired);
      expect(view.nextChangeAt).toEqual(changesAt === undefined ? undefined : at(changesAt));
    },
  );

  it('sign with the only key of an algorithm though our clock says that it is too early', () => {
    const view = viewAt([key('ahead', 2)], T0);
    expect(view.signing.map(({ kid }) => kid)).toEqual(['ahead']);
    expect(view.next).toEqual([]);
  });

  it('never have two signing keys of one algorithm', () => {
    const view = viewAt([key('older', -2), key('newer', -1)], T0);
    expect(view.signing.map(({ kid }) => kid)).toEqual(['newer']);
    expect(view.retired.map(({ kid }) => kid)).toEqual(['older']);
  });

  it('are always all published, and none of them twice', () => {
    for (let seconds = -2_000; seconds < 5_000; seconds += 37) {
      const view = viewAt(keys, at(seconds));
      const shown = [...view.signing, ...view.next, ...view.retired].map(({ kid }) => kid);
      const published = keys.filter((one) => stateAt(one, at(seconds)) !== 'removed').map(({ kid }) => kid);
      expect(shown.toSorted()).toEqual(published.toSorted());
    }
  });
});

describe('a rotation', () => {
  const current = key('current', -1_000);
  const waiting = key('waiting', 3_600);
  const ending = (retires: number): object => ({
    kid: 'current',
    retiresAt: at(retires),
    removesAt: at(retires + 600 + SLACK),
  });

  it.each<[string, KeyTimes[], boolean, object]>([
    ['makes the first key sign at once', [], false, { kind: 'create', activatesAt: T0 }],
    [
      'publishes the next key first',
      [current],
      false,
      { kind: 'create', activatesAt: at(3_600), previous: ending(3_600) },
    ],
    ['signs at once when told', [current], true, { kind: 'create', activatesAt: T0, previous: ending(0) }],
    [
      'is not begun while another is under way',
      [key('current', -1_000, 3_600, 4_260), waiting],
      false,
      { kind: 'under_way', kid: 'waiting', activatesAt: at(3_600) },
    ],
    [
      'brings the waiting key forward when told',
      [key('current', -1_000, 3_600, 4_260), waiting],
      true,
      { kind: 'bring_forward', kid: 'waiting', activatesAt: T0, previous: ending(0) },
    ],
    [
      'does not count a key that was dropped as waiting',
      [current, key('dropped', 3_600, -10, -10)],
      false,
      { kind: 'create', activatesAt: at(3_600), previous: ending(3_600) },
    ],
  ])('%s', (_, keys, immediately, plan) => {
    expect(planRotation(keys, T0, TIMES, { immediately })).toEqual(plan);
  });
});

describe('cookie keys', () => {
  const cookieKey = (
    id: string,
    activates: number,
    removes?: number,
  ): Parameters<typeof orderCookieKeys>[0][0] => ({
    id,
    secretSealed: '',
    activatesAt: at(activates),
    ...(removes !== undefined && { removesAt: at(removes) }),
  });
  const keys = [cookieKey('a', -100, 50), cookieKey('b', -10), cookieKey('c', 15)];

  it.each([
    [0, ['b', 'a', 'c']],
    [15, ['c', 'b', 'a']],
    [50, ['c', 'b']],
  ])('at %i are in the order %j: a new one verifies before it signs', (seconds, order) => {
    expect(orderCookieKeys(keys, at(seconds)).map(({ id }) => id)).toEqual(order);
  });
});

describe('a generated key', () => {
  it.each(['RS256', 'ES256', 'EdDSA'] as const)('for %s is named by its thumbprint', async (alg) => {
    const { kid, publicJwk, privateJwk } = await generateSigningKey(alg);
    expect(publicJwk).toMatchObject({ kid, alg, use: 'sig' });
    expect(kid).toMatch(/^[\w-]{43}$/);
    expect(publicJwk).not.toHaveProperty('d');
    expect(privateJwk).toMatchObject({ ...publicJwk, d: expect.any(String) });
    if (alg === 'RS256') expect(Buffer.from(publicJwk.n!, 'base64url')).toHaveLength(256);
  });
});
