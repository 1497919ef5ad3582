import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { OidcStore, Spending } from '../../../src/oidc/store/port.ts';
import { randomToken } from '../../../src/platform/ids.ts';
import { makeRacy } from '../../support/racy-store.ts';
import { type OpenStore, stores } from './stores.ts';

const CONCURRENT = 50;
const ROUNDS = 20;
const LEASE = { leaseSeconds: 10 };

describe.each(stores)('spending in $name', ({ open }) => {
  let opened: OpenStore;
  let store: OidcStore;
  beforeAll(async () => {
    opened = await open();
    store = opened.store;
  });
  afterAll(() => opened.close());

  async function issueCode(ttlSeconds = 60): Promise<string> {
    const id = randomToken();
    await store.upsert('AuthorizationCode', id, { clientId: 'app' }, ttlSeconds);
    return id;
  }

  async function race(stores: OidcStore[]): Promise<Spending[]> {
    const id = await issueCode();
    return Promise.all(
      Array.from({ length: CONCURRENT }, (_, n) =>
        stores[n % stores.length]!.spend('AuthorizationCode', id, { spender: `s${n}`, ...LEASE }),
      ),
    );
  }

  const winnersOf = (outcomes: Spending[]): number => outcomes.filter(({ kind }) => kind === 'won').length;

  it('lets exactly one of fifty win, over two connections, twenty times', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const outcomes = await race([store, opened.other]);
      expect(winnersOf(outcomes)).toBe(1);
      const winner = `s${outcomes.findIndex(({ kind }) => kind === 'won')}`;
      for (const outcome of outcomes.filter(({ kind }) => kind !== 'won')) {
        expect(outcome).toEqual({ kind: 'lost', by: winner, isFinal: false, at: opened.clock.now() });
      }
    }
  });

  it('has more than one winner when spending is find-then-set: the race is a real one', async () => {
    let most = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      most = Math.max(most, winnersOf(await race([makeRacy(store), makeRacy(opened.other)])));
    }
    expect(most).toBeGreaterThan(1);
  });

  it('lets one of fifty take over a lapsed mark, twenty times', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const id = await issueCode();
      await store.spend('AuthorizationCode', id, { spender: 'died', ...LEASE });
      opened.clock.advanceSeconds(LEASE.leaseSeconds);
      const outcomes = await Promise.all(
        Array.from({ length: CONCURRENT }, (_, n) =>
          (n % 2 ? store : opened.other).spend('AuthorizationCode', id, { spender: `s${n}`, ...LEASE }),
        ),
      );
      expect(winnersOf(outcomes)).toBe(1);
    }
  });

  it('shows the mark to whoever finds the code', async () => {
    const id = await issueCode();
    expect(await store.find('AuthorizationCode', id)).not.toHaveProperty('consumed');
    await store.spend('AuthorizationCode', id, { spender: 'a', ...LEASE });
    const consumed = Math.floor(opened.clock.now().getTime() / 1000);
    expect(await store.find('AuthorizationCode', id)).toEqual({ clientId: 'app', jti: id, consumed });
  });

  it('keeps the mark when the payload is written again, and sets none by a payload', async () => {
    const id = randomToken();
    await store.upsert('DeviceCode', id, { userCode: 'BCDF', consumed: 1 }, 60);
    expect(await store.find('DeviceCode', id)).not.toHaveProperty('consumed');
    await store.spend('DeviceCode', id, { spender: 'a', ...LEASE });
    await store.upsert('DeviceCode', id, { userCode: 'BCDF', accountId: 'ada' }, 60);
    expect(await store.find('DeviceCode', id)).toMatchObject({
      accountId: 'ada',
      consumed: expect.any(Number),
    });
    expect(await store.spend('DeviceCode', id, { spender: 'b', ...LEASE })).toMatchObject({ kind: 'lost' });
  });

  it('counts a retry of the same attempt as the same win, pending or final', async () => {
    const id = await issueCode();
    const attempt = { spender: 'a', ...LEASE };
    expect(await store.spend('AuthorizationCode', id, attempt)).toEqual({ kind: 'won' });
    expect(await store.spend('AuthorizationCode', id, attempt)).toEqual({ kind: 'won' });
    await store.confirmSpent('AuthorizationCode', id, 'a');
    expect(await store.spend('AuthorizationCode', id, attempt)).toEqual({ kind: 'won' });
    expect(await store.spend('AuthorizationCode', id, { spender: 'b', ...LEASE })).toMatchObject({
      isFinal: true,
    });
  });

  describe('a pending mark', () => {
    it('lapses after its lease and can be taken over; the late first spender changes nothing', async () => {
      const id = await issueCode();
      await store.spend('AuthorizationCode', id, { spender: 'died', ...LEASE });
      opened.clock.advanceSeconds(LEASE.leaseSeconds - 1);
      expect(await store.spend('AuthorizationCode', id, { spender: 'b', ...LEASE })).toMatchObject({
        kind: 'lost',
        by: 'died',
      });
      opened.clock.advanceSeconds(1);
      expect(await store.find('AuthorizationCode', id)).not.toHaveProperty('consumed');
      expect(await store.spend('AuthorizationCode', id, { spender: 'b', ...LEASE })).toEqual({
        kind: 'won',
        tookOverFrom: 'died',
      });

      await store.confirmSpent('AuthorizationCode', id, 'died');
      await store.releaseSpent('AuthorizationCode', id, 'died');
      expect(await store.spend('AuthorizationCode', id, { spender: 'c', ...LEASE })).toMatchObject({
        kind: 'lost',
        by: 'b',
        isFinal: false,
      });
    });

    it('is undone by its spender, and the code is good again', async () => {
      const id = await issueCode();
      await store.spend('AuthorizationCode', id, { spender: 'a', ...LEASE });
      await store.releaseSpent('AuthorizationCode', id, 'a');
      expect(await store.find('AuthorizationCode', id)).not.toHaveProperty('consumed');
      expect(await store.spend('AuthorizationCode', id, { spender: 'b', ...LEASE })).toEqual({ kind: 'won' });
    });

    it('is not undone by anybody else', async () => {
      const id = await issueCode();
      await store.spend('AuthorizationCode', id, { spender: 'a', ...LEASE });
      await store.releaseSpent('AuthorizationCode', id, 'b');
      expect(await store.spend('AuthorizationCode', id, { spender: 'b', ...LEASE })).toMatchObject({
        kind: 'lost',
        by: 'a',
      });
    });
  });

  describe('a final mark', () => {
    it('never lapses and is never undone, not even by its spender', async () => {
      const id = await issueCode();
      await store.spend('AuthorizationCode', id, { spender: 'a', ...LEASE });
      const at = opened.clock.now();
      await store.confirmSpent('AuthorizationCode', id, 'a');
      await store.confirmSpent('AuthorizationCode', id, 'a');
      await store.releaseSpent('AuthorizationCode', id, 'a');
      opened.clock.advanceSeconds(LEASE.leaseSeconds * 2);
      expect(await store.spend('AuthorizationCode', id, { spender: 'b', ...LEASE })).toEqual({
        kind: 'lost',
        by: 'a',
        isFinal: true,
        at,
      });
      expect(await store.find('AuthorizationCode', id)).toHaveProperty('consumed');
    });

    it('is not made by a spender that does not hold the mark', async () => {
      const id = await issueCode();
      await store.spend('AuthorizationCode', id, { spender: 'a', ...LEASE });
      await store.confirmSpent('AuthorizationCode', id, 'b');
      opened.clock.advanceSeconds(LEASE.leaseSeconds);
      expect(await store.spend('AuthorizationCode', id, { spender: 'c', ...LEASE })).toEqual({
        kind: 'won',
        tookOverFrom: 'a',
      });
    });
  });

  describe('a code that is missing', () => {
    it.each([
      ['never existed', async () => randomToken()],
      [
        'has expired',
        async () => {
          const id = await issueCode(5);
          opened.clock.advanceSeconds(5);
          return id;
        },
      ],
      [
        'was destroyed',
        async () => {
          const id = await issueCode();
          await store.destroy('AuthorizationCode', id);
          return id;
        },
      ],
    ])('because it %s is not brought back by spending, confirming or releasing', async (_, lose) => {
      const id = await lose();
      expect(await store.spend('AuthorizationCode', id, { spender: 'a', ...LEASE })).toEqual({
        kind: 'missing',
      });
      await store.confirmSpent('AuthorizationCode', id, 'a');
      await store.releaseSpent('AuthorizationCode', id, 'a');
      expect(await store.find('AuthorizationCode', id)).toBeUndefined();
      expect(await store.spend('AuthorizationCode', id, { spender: 'b', ...LEASE })).toEqual({
        kind: 'missing',
      });
    });
  });

  describe('a replay mark', () => {
    it('is had by exactly one of fifty, over two connections, twenty times', async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const key = randomToken();
        const firsts = await Promise.all(
          Array.from({ length: CONCURRENT }, (_, n) =>
            (n % 2 ? store : opened.other).markOnce(key, `s${n}`, 60),
          ),
        );
        expect(firsts.filter(Boolean)).toHaveLength(1);
      }
    });

    it('is had by more than one when marking is find-then-set', async () => {
      let most = 0;
      for (let round = 0; round < ROUNDS; round += 1) {
        const key = randomToken();
        const racy = [makeRacy(store), makeRacy(opened.other)];
        const firsts = await Promise.all(
          Array.from({ length: CONCURRENT }, (_, n) => racy[n % 2]!.markOnce(key, `s${n}`, 60)),
        );
        most = Math.max(most, firsts.filter(Boolean).length);
      }
      expect(most).toBeGreaterThan(1);
    });

    it('is free again once it has expired, for one', async () => {
      const key = randomToken();
      expect(await store.markOnce(key, 'a', 60)).toBe(true);
      opened.clock.advanceSeconds(59);
      expect(await store.markOnce(key, 'b', 60)).toBe(false);
      opened.clock.advanceSeconds(1);
      expect(await store.markOnce(key, 'c', 60)).toBe(true);
      expect(await store.markOnce(key, 'd', 60)).toBe(false);
    });

    it('is taken back by whoever set it and nobody else', async () => {
      const key = randomToken();
      await store.markOnce(key, 'a', 60);
      await store.unmark(key, 'b');
      expect(await store.markOnce(key, 'b', 60)).toBe(false);
      await store.unmark(key, 'a');
      expect(await store.markOnce(key, 'b', 60)).toBe(true);
    });
  });
});
