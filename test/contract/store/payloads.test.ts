import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { Model, OidcStore, StoredPayload } from '../../../src/oidc/store/port.ts';
import { randomToken } from '../../../src/platform/ids.ts';
import { type OpenStore, stores } from './stores.ts';

const GRANT_BOUND: Model[] = [
  'AccessToken',
  'AuthorizationCode',
  'RefreshToken',
  'DeviceCode',
  'BackchannelAuthenticationRequest',
  'PreAuthorizedCode',
];

describe.each(stores)('payloads in $name', ({ open }) => {
  let opened: OpenStore;
  let store: OidcStore;
  beforeAll(async () => {
    opened = await open();
    store = opened.store;
  });
  afterAll(() => opened.close());

  async function put(model: Model, payload: StoredPayload = {}, ttlSeconds: number | undefined = 60) {
    const id = randomToken();
    await store.upsert(model, id, { jti: id, kind: model, ...payload }, ttlSeconds);
    return id;
  }

  it.each<Model>([...GRANT_BOUND, 'Interaction', 'Grant', 'PushedAuthorizationRequest', 'ClientCredentials'])(
    'gives a %s back as it was written, with its id',
    async (model) => {
      const payload = {
        iat: 1,
        empty: [],
        nested: { none: {}, deep: [{ a: null }] },
        text: 'é \u0000 \ud800 "',
        flag: false,
      };
      const id = await put(model, payload);
      expect(await opened.other.find(model, id)).toEqual({ jti: id, kind: model, ...payload });
    },
  );

  it('replaces a payload whole', async () => {
    const id = await put('Interaction', { prompt: 'login' });
    await store.upsert('Interaction', id, { result: 'done' }, 60);
    expect(await store.find('Interaction', id)).toEqual({ jti: id, result: 'done' });
  });

  it('finds nothing under another model, or by a digest', async () => {
    const id = await put('AccessToken');
    expect(await store.find('RefreshToken', id)).toBeUndefined();
    expect(await store.find('AccessToken', randomToken())).toBeUndefined();
  });

  it('finds nothing once the time to live has passed, also counted from the last write', async () => {
    const id = await put('AccessToken', {}, 60);
    opened.clock.advanceSeconds(59);
    expect(await store.find('AccessToken', id)).toBeDefined();
    await store.upsert('AccessToken', id, {}, 60);
    opened.clock.advanceSeconds(59);
    expect(await store.find('AccessToken', id)).toBeDefined();
    opened.clock.advanceSeconds(1);
    expect(await store.find('AccessToken', id)).toBeUndefined();
  });

  it('keeps what has no time to live', async () => {
    const id = randomToken();
    await store.upsert('Grant', id, { accountId: 'ada' }, undefined);
    opened.clock.advanceSeconds(10 * 365 * 86_400);
    expect(await store.find('Grant', id)).toEqual({ jti: id, accountId: 'ada' });
  });

  it('destroys once and for all: a request that had read it does not bring it back', async () => {
    const id = await put('Interaction');
    await store.destroy('Interaction', id);
    await store.destroy('Interaction', id);
    expect(await store.find('Interaction', id)).toBeUndefined();
    await opened.other.upsert('Interaction', id, { result: 'late' }, 60);
    expect(await store.find('Interaction', id)).toBeUndefined();
  });

  describe('a device code', () => {
    it('is found by its user code, with its id, and follows changes', async () => {
      const userCode = randomToken(6);
      const id = await put('DeviceCode', { userCode });
      expect(await store.findByUserCode(userCode)).toEqual({ jti: id, kind: 'DeviceCode', userCode });
      await store.upsert('DeviceCode', id, { userCode, inFlight: true }, 60);
      expect(await opened.other.findByUserCode(userCode)).toEqual({ jti: id, userCode, inFlight: true });
      await store.spend('DeviceCode', id, { spender: 'a', leaseSeconds: 10 });
      expect(await store.findByUserCode(userCode)).toHaveProperty('consumed');
    });

    it('is not found by a wrong code, after it expired, or once destroyed', async () => {
      const userCode = randomToken(6);
      const id = await put('DeviceCode', { userCode });
      expect(await store.findByUserCode(`${userCode}X`)).toBeUndefined();
      await store.destroy('DeviceCode', id);
      expect(await store.findByUserCode(userCode)).toBeUndefined();

      await put('DeviceCode', { userCode }, 60);
      expect(await store.findByUserCode(userCode)).toBeDefined();
      opened.clock.advanceSeconds(60);
      expect(await store.findByUserCode(userCode)).toBeUndefined();
    });
  });

  describe('a grant', () => {
    async function grantWithTokens(): Promise<{ grantId: string; tokens: (readonly [Model, string])[] }> {
      const grantId = await put('Grant', { accountId: 'ada' }, 3600);
      const tokens = await Promise.all(
        GRANT_BOUND.map(async (model) => [model, await put(model, { grantId })] as const),
      );
      return { grantId, tokens };
    }
    const findAll = (tokens: (readonly [Model, string])[]): Promise<unknown[]> =>
      Promise.all(tokens.map(([model, id]) => store.find(model, id)));

    it('loses every token by revocation, stands itself, and may bear new ones', async () => {
      const { grantId, tokens } = await grantWithTokens();
      const spared = await grantWithTokens();
      await store.revokeByGrantId(grantId);
      await store.revokeByGrantId(grantId);
      expect(await findAll(tokens)).toEqual(tokens.map(() => undefined));
      expect(await findAll(spared.tokens)).not.toContain(undefined);
      expect(await store.find('Grant', grantId)).toBeDefined();

      const later = await put('AccessToken', { grantId });
      expect(await store.find('AccessToken', later)).toBeDefined();
    });

    it('does not get back a token it lost, by a request that had read it', async () => {
      const { grantId, tokens } = await grantWithTokens();
      await store.revokeByGrantId(grantId);
      for (const [model, id] of tokens) {
        const late = opened.other.upsert(model, id, { grantId }, 60);
        await expect(late).rejects.toMatchObject({ code: 'grant_ended' });
      }
      expect(await findAll(tokens)).toEqual(tokens.map(() => undefined));
    });

    it('takes its tokens along when it is destroyed, and never bears another', async () => {
      const { grantId, tokens } = await grantWithTokens();
      await store.destroy('Grant', grantId);
      expect(await findAll(tokens)).toEqual(tokens.map(() => undefined));

      const late = randomToken();
      await expect(opened.other.upsert('AccessToken', late, { grantId }, 60)).rejects.toMatchObject({
        code: 'grant_ended',
      });
      expect(await store.find('AccessToken', late)).toBeUndefined();
      await store.upsert('Grant', grantId, { accountId: 'ada' }, 60);
      expect(await store.find('Grant', grantId)).toBeUndefined();
      await store.revokeByGrantId(grantId);
      await expect(store.upsert('AccessToken', late, { grantId }, 60)).rejects.toMatchObject({ status: 400 });
    });

    it('leaves no token alive that was written while it was being destroyed', async () => {
      for (let round = 0; round < 20; round += 1) {
        const grantId = await put('Grant', {}, 3600);
        const ids = Array.from({ length: 20 }, () => randomToken());
        const write = (id: string, n: number): Promise<void> =>
          (n % 2 ? store : opened.other).upsert('AccessToken', id, { grantId }, 60);
        const writes = ids.map(write);
        const destroyed = opened.other.destroy('Grant', grantId);
        const more = ids.map((_, n) => write(`${ids[n]}-late`, n));
        await Promise.allSettled([...writes, destroyed, ...more]);
        await destroyed;
        const found = await Promise.all(
          ids.flatMap((id) => [store.find('AccessToken', id), store.find('AccessToken', `${id}-late`)]),
        );
        expect(found.filter(Boolean)).toEqual([]);
      }
    });

    it('can be destroyed by fifty losers of a race at once', async () => {
      const { grantId, tokens } = await grantWithTokens();
      await Promise.all(
        Array.from({ length: 50 }, (_, n) => (n % 2 ? store : opened.other).destroy('Grant', grantId)),
      );
      expect(await findAll(tokens)).toEqual(tokens.map(() => undefined));
    });
  });

  describe('the answer to a refresh', () => {
    it('is kept for its time, and replaced by a later one', async () => {
      const key = randomToken();
      expect(await store.getAnswer(key)).toBeUndefined();
      await store.putAnswer(key, 'v1.first', 30);
      await store.putAnswer(key, 'v1.second', 30);
      expect(await opened.other.getAnswer(key)).toBe('v1.second');
      opened.clock.advanceSeconds(30);
      expect(await store.getAnswer(key)).toBeUndefined();
    });
  });

  it('answers a ping', async () => {
    await expect(store.ping()).resolves.toBeUndefined();
  });
});
