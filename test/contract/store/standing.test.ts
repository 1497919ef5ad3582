import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { OidcStore, StoredPayload } from '../../../src/oidc/store/port.ts';
import { randomToken } from '../../../src/platform/ids.ts';
import { type OpenStore, stores } from './stores.ts';

describe.each(stores)('a token with what it stands on, in $name', ({ open }) => {
  let opened: OpenStore;
  let store: OidcStore;
  beforeAll(async () => {
    opened = await open();
    store = opened.store;
  });
  afterAll(() => opened.close());

  async function grant(ttlSeconds = 600): Promise<string> {
    const id = randomToken();
    await store.upsert(
      'Grant',
      id,
      { jti: id, kind: 'Grant', accountId: 'ada', clientId: 'app' },
      ttlSeconds,
    );
    return id;
  }

  async function token(payload: StoredPayload): Promise<string> {
    const id = randomToken();
    await store.upsert('AccessToken', id, { jti: id, kind: 'AccessToken', ...payload }, 60);
    return id;
  }

  async function session(): Promise<{ id: string; uid: string }> {
    const [id, uid] = [randomToken(), randomToken(9)];
    const authorizations = { app: { grantId: 'one' } };
    await store.saveSession(id, { jti: id, uid, accountId: 'ada', loginTs: 100, authorizations }, 600);
    return { id, uid };
  }

  it('is the token alone where it stands on nothing', async () => {
    const id = randomToken();
    await store.upsert('ClientCredentials', id, { jti: id, clientId: 'machine' }, 60);
    expect(await opened.other.findStanding('ClientCredentials', id)).toEqual({
      token: { jti: id, clientId: 'machine' },
      grant: undefined,
      session: undefined,
    });
  });

  it('finds the grant and the session as by themselves', async () => {
    const [grantId, { uid }] = [await grant(), await session()];
    const id = await token({ grantId, sessionUid: uid, expiresWithSession: true });
    expect(await opened.other.findStanding('AccessToken', id)).toEqual({
      token: await store.find('AccessToken', id),
      grant: await store.find('Grant', grantId),
      session: await store.findByUid(uid),
    });
  });

  it.each(['RefreshToken', 'AuthorizationCode'] as const)('tells a %s with its spend mark', async (model) => {
    const [grantId, id] = [await grant(), randomToken()];
    await store.upsert(model, id, { jti: id, kind: model, grantId }, 60);
    await store.spend(model, id, { spender: 'first', leaseSeconds: 30 });
    expect(await opened.other.findStanding(model, id)).toEqual({
      token: { ...(await store.find(model, id)), consumed: expect.any(Number) },
      grant: await store.find('Grant', grantId),
      session: undefined,
    });
  });

  it('reads no session for a token that outlives it', async () => {
    const [grantId, { uid }] = [await grant(), await session()];
    const id = await token({ grantId, sessionUid: uid });
    expect(await store.findStanding('AccessToken', id)).toMatchObject({ session: undefined });
  });

  it('finds nothing for another model, an unknown id, or when the time has passed', async () => {
    const id = await token({});
    expect(await store.findStanding('ClientCredentials', id)).toBeUndefined();
    expect(await store.findStanding('AccessToken', randomToken())).toBeUndefined();
    opened.clock.advanceSeconds(60);
    expect(await store.findStanding('AccessToken', id)).toBeUndefined();
  });

  it('tells the token without a grant that has expired', async () => {
    const grantId = await grant(30);
    const id = await token({ grantId });
    opened.clock.advanceSeconds(30);
    expect(await store.findStanding('AccessToken', id)).toMatchObject({
      token: { jti: id },
      grant: undefined,
    });
  });

  it('finds neither the token nor the grant once the grant was ended', async () => {
    const grantId = await grant();
    const id = await token({ grantId });
    await opened.other.destroy('Grant', grantId);
    expect(await store.findStanding('AccessToken', id)).toBeUndefined();
  });

  it('tells the token without a session that was ended', async () => {
    const { uid } = await session();
    const id = await token({ sessionUid: uid, expiresWithSession: true });
    await opened.other.endSession(uid);
    expect(await store.findStanding('AccessToken', id)).toMatchObject({
      token: { jti: id },
      session: undefined,
    });
  });
});
