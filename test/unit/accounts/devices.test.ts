import { randomBytes } from 'node:crypto';

import { describe, expect, it } from '@jest/globals';

import { DEVICE_DAYS, findDeviceCounter, issueDeviceToken } from '../../../src/accounts/devices.ts';
import { createSealer, type Sealer } from '../../../src/platform/seal.ts';
import { createTestClock } from '../../support/clock.ts';

const newSealer = (): Sealer => createSealer([{ id: 'k1', key: randomBytes(32) }]);

describe('the device cookie', () => {
  const sealer = newSealer();
  const clock = createTestClock();
  const issue = (accountId: string, keys: string[], previous?: string): string =>
    issueDeviceToken({ sealer, clock, previous, accountId, keys });
  const find = (token: string | undefined, key: string): string | undefined =>
    findDeviceCounter({ sealer, clock, token, key });

  it('knows the account under each of its names, and no other', () => {
    const token = issue('a', ['mail-key', 'name-key']);
    expect(find(token, 'mail-key')).toBeDefined();
    expect(find(token, 'name-key')).toBe(find(token, 'mail-key'));
    expect(find(token, 'other-key')).toBeUndefined();
  });

  it('keeps its counter when the account signs in again, and the other accounts of the browser', () => {
    const first = issue('a', ['a-key']);
    const both = issue('b', ['b-key'], first);
    const again = issue('a', ['a-key'], both);
    expect(find(again, 'a-key')).toBe(find(first, 'a-key'));
    expect(find(again, 'b-key')).toBe(find(both, 'b-key'));
    expect(find(again, 'b-key')).not.toBe(find(again, 'a-key'));
  });

  it('counts another browser of the same account apart', () => {
    expect(find(issue('a', ['a-key']), 'a-key')).not.toBe(find(issue('a', ['a-key']), 'a-key'));
  });

  it('forgets the oldest account beyond five', () => {
    let token: string | undefined;
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) token = issue(name, [`${name}-key`], token);
    expect(find(token, 'a-key')).toBeUndefined();
    expect(find(token, 'b-key')).toBeDefined();
    expect(token!.length).toBeLessThan(1500);
  });

  it('lapses', () => {
    const moving = createTestClock();
    const token = issueDeviceToken({
      sealer,
      clock: moving,
      previous: undefined,
      accountId: 'a',
      keys: ['k'],
    });
    moving.advanceSeconds(DEVICE_DAYS * 86_400 - 2);
    expect(findDeviceCounter({ sealer, clock: moving, token, key: 'k' })).toBeDefined();
    moving.advanceSeconds(4);
    expect(findDeviceCounter({ sealer, clock: moving, token, key: 'k' })).toBeUndefined();
  });

  it.each([
    ['nothing', undefined],
    ['an empty value', ''],
    ['junk', 'v1.k1.x.y'],
    [
      'one sealed with a key of somebody else',
      issueDeviceToken({ sealer: newSealer(), clock, previous: undefined, accountId: 'a', keys: ['k'] }),
    ],
    [
      'something else that we sealed',
      sealer.seal(JSON.stringify([{ a: 'a', r: 'r', k: ['k'], t: 9e12 }]), 'totp:a'),
    ],
    ['a sealed value of another shape', sealer.seal('{"k":["k"]}', 'device')],
  ])('is a stranger’s with %s', (_case, token) => {
    expect(find(token, 'k')).toBeUndefined();
    expect(find(issue('b', ['b-key'], token), 'b-key')).toBeDefined();
  });

  it('is a stranger’s when one character was altered', () => {
    const token = issue('a', ['k']);
    const altered = `${token.slice(0, -4)}${token.at(-4) === 'A' ? 'B' : 'A'}${token.slice(-3)}`;
    expect(find(altered, 'k')).toBeUndefined();
  });
});
