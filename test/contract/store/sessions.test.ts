import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { type OidcStore, ROTATION_GRACE_SECONDS, TOMBSTONE_SECONDS } from '../../../src/oidc/store/port.ts';
import type { SessionAuthorizations } from '../../../src/oidc/store/port.ts';
import { randomToken } from '../../../src/platform/ids.ts';
import { type OpenStore, stores } from './stores.ts';

const TTL = 3600;

describe.each(stores)('sessions in $name', ({ open }) => {
  let opened: OpenStore;
  let store: OidcStore;
  beforeAll(async () => {
    opened = await open();
    store = opened.store;
  });
  afterAll(() => opened.close());

  async function signIn(
    payload: { authorizations?: SessionAuthorizations; loginTs?: number; accountId?: string } = {},
  ): Promise<{ id: string; uid: string }> {
    const [id, uid] = [randomToken(), randomToken(9)];
    await store.saveSession(id, { jti: id, uid, accountId: 'ada', loginTs: 100, ...payload }, TTL);
    return { id, uid };
  }

  /** What one request does: read the session, add a client, save; under a new id when it rotates. */
  async function authorize(
    over: OidcStore,
    id: string,
    clientId: string,
    { newId, meanwhile }: { newId?: string; meanwhile?: () => Promise<void> } = {},
  ): Promise<unknown> {
    const session = await over.find('Session', id);
    if (!session) return 'not found';
    const baseline = (session['authorizations'] ?? {}) as SessionAuthorizations;
    await meanwhile?.();
    return over.saveSession(
      newId ?? id,
      {
        ...session,
        jti: newId ?? id,
        authorizations: { ...baseline, [clientId]: { sid: `sid-${clientId}`, grantId: `grant-${clientId}` } },
      },
      TTL,
      { baseline, ...(newId ? { replaces: id } : {}) },
    );
  }

  const clientsOf = async (uid: string): Promise<string[]> =>
    Object.keys((await store.findByUid(uid))?.['authorizations'] ?? {}).toSorted();
  const clients = Array.from({ length: 20 }, (_, n) => `client-${String(n).padStart(2, '0')}`);

  it('come back with their authorizations, by id and by uid', async () => {
    const authorizations = { app: { sid: 's', grantId: 'g', promptedScopes: [] } };
    const { id, uid } = await signIn({ authorizations });
    const payload = { uid, accountId: 'ada', loginTs: 100, authorizations };
    expect(await opened.other.find('Session', id)).toEqual({ jti: id, ...payload });
    expect(await opened.other.findByUid(uid)).toEqual(payload);
    expect(await store.findByUid(randomToken(9))).toBeUndefined();
  });

  it('have no authorizations until there is one, and none for a client merely asked about', async () => {
    const { id } = await signIn({ authorizations: { 'just-looking': {} } });
    expect(await store.find('Session', id)).not.toHaveProperty('authorizations');
  });

  it('keep all of twenty clients that are added at the same time', async () => {
    const { id, uid } = await signIn();
    let arrived = 0;
    let letGo = (): void => {};
    const allHaveRead = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    await Promise.all(
      clients.map((clientId, n) =>
        authorize(n % 2 ? store : opened.other, id, clientId, {
          meanwhile: () => {
            arrived += 1;
            if (arrived === clients.length) letGo();
            return allHaveRead;
          },
        }),
      ),
    );
    expect(await clientsOf(uid)).toEqual(clients);
  });

  it('keep them also while the id rotates, and every new id is good', async () => {
    const { id, uid } = await signIn();
    const newIds = clients.map((_, n) => (n % 3 === 0 ? randomToken() : undefined));
    const saved = await Promise.all(
      clients.map((clientId, n) => {
        const newId = newIds[n];
        return authorize(n % 2 ? store : opened.other, id, clientId, newId ? { newId } : {});
      }),
    );
    expect(saved).toEqual(clients.map(() => 'saved'));
    expect(await clientsOf(uid)).toEqual(clients);
    for (const newId of newIds.filter((value) => value !== undefined)) {
      expect(await store.find('Session', newId)).toMatchObject({ uid, jti: newId });
    }
  });

  it('write only the difference: another change of a known client survives, a removal removes', async () => {
    const { id, uid } = await signIn({
      authorizations: { kept: { sid: '1' }, changed: { sid: '2' }, removed: { sid: '3' } },
    });
    await authorize(store, id, 'new', {
      meanwhile: async () => {
        const baseline = { kept: { sid: '1' }, changed: { sid: '2' }, removed: { sid: '3' } };
        const authorizations = { kept: { sid: '1' }, changed: { sid: 'other' } };
        await opened.other.saveSession(id, { uid, loginTs: 100, authorizations }, TTL, { baseline });
      },
    });
    expect((await store.findByUid(uid))?.['authorizations']).toEqual({
      kept: { sid: '1' },
      changed: { sid: 'other' },
      new: { sid: 'sid-new', grantId: 'grant-new' },
    });
  });

  it('expire after their time to live, counted from the last save of the id', async () => {
    const { id, uid } = await signIn();
    opened.clock.advanceSeconds(TTL - 1);
    await authorize(store, id, 'app');
    opened.clock.advanceSeconds(TTL - 1);
    expect(await store.find('Session', id)).toBeDefined();
    expect(await store.findByUid(uid)).toBeDefined();
    opened.clock.advanceSeconds(1);
    expect(await store.find('Session', id)).toBeUndefined();
    expect(await store.findByUid(uid)).toBeUndefined();
  });

  describe('whose id was replaced', () => {
    it('are found by the old one for a short while, as they were then', async () => {
      const { id, uid } = await signIn({ loginTs: 100 });
      const newId = randomToken();
      await store.saveSession(newId, { uid, accountId: 'ada', loginTs: 200, amr: ['pwd', 'otp'] }, TTL, {
        baseline: {},
        replaces: id,
      });
      expect(await store.find('Session', newId)).toMatchObject({ loginTs: 200, amr: ['pwd', 'otp'] });
      const old = await store.find('Session', id);
      expect(old).toMatchObject({ loginTs: 100 });
      expect(old).not.toHaveProperty('amr');
      opened.clock.advanceSeconds(ROTATION_GRACE_SECONDS);
      expect(await store.find('Session', id)).toBeUndefined();
      expect(await store.find('Session', newId)).toBeDefined();
    });

    it('speak by their latest sign-in, whichever id was saved last', async () => {
      const { id, uid } = await signIn({ loginTs: 100 });
      const newId = randomToken();
      await authorize(opened.other, id, 'app', {
        meanwhile: async () => {
          await store.saveSession(newId, { uid, accountId: 'ada', loginTs: 200 }, TTL, {
            baseline: {},
            replaces: id,
          });
        },
      });
      expect(await store.findByUid(uid)).toMatchObject({ loginTs: 200 });
      expect(await clientsOf(uid)).toEqual(['app']);
    });
  });

  describe('that have ended', () => {
    it.each([
      ['by destroying an id', ({ id }: { id: string }) => store.destroy('Session', id)],
      ['by their uid', ({ uid }: { uid: string }) => store.endSession(uid)],
    ])('%s are not brought back by a request that had read them', async (_, end) => {
      const session = await signIn({ authorizations: { app: { sid: 's' } } });
      const sibling = randomToken();
      await authorize(store, session.id, 'app', { newId: sibling });

      const late = await authorize(opened.other, session.id, 'late', { meanwhile: () => end(session) });
      expect(late).toBe('ended');
      const rotated = { baseline: {}, replaces: session.id };
      expect(await store.saveSession(randomToken(), { uid: session.uid }, TTL, rotated)).toBe('ended');
      await store.upsert('Session', session.id, { uid: session.uid, accountId: 'ada' }, TTL);

      expect(await store.find('Session', session.id)).toBeUndefined();
      expect(await store.find('Session', sibling)).toBeUndefined();
      expect(await store.findByUid(session.uid)).toBeUndefined();
      opened.clock.advanceSeconds(TOMBSTONE_SECONDS - 1);
      expect(await store.saveSession(session.id, { uid: session.uid }, TTL)).toBe('ended');
    });

    it('stay ended however the end falls among twenty saves', async () => {
      for (let round = 0; round < 10; round += 1) {
        const { id, uid } = await signIn();
        const newIds = clients.map(() => randomToken());
        const saves = clients.map((clientId, n) =>
          authorize(n % 2 ? store : opened.other, id, clientId, n % 3 ? {} : { newId: newIds[n]! }),
        );
        const ended = opened.other.endSession(uid);
        await Promise.all([...saves, ended]);
        expect(await store.findByUid(uid)).toBeUndefined();
        const found = await Promise.all([id, ...newIds].map((each) => store.find('Session', each)));
        expect(found.filter(Boolean)).toEqual([]);
      }
    });

    it('are also those that expired before the save, or that the store forgot', async () => {
      const { id, uid } = await signIn();
      const late = await authorize(store, id, 'late', {
        meanwhile: async () => opened.clock.advanceSeconds(TTL),
      });
      expect(late).toBe('ended');
      expect(await store.findByUid(uid)).toBeUndefined();
      const unknown = { uid: randomToken(9), accountId: 'ada' };
      expect(await store.saveSession(randomToken(), unknown, TTL, { baseline: {} })).toBe('ended');
      expect(await store.findByUid(unknown.uid)).toBeUndefined();
    });

    it('end quietly when there is nothing to end', async () => {
      await expect(store.destroy('Session', randomToken())).resolves.toBeUndefined();
      await expect(store.endSession(randomToken())).resolves.toBeUndefined();
    });
  });
});
