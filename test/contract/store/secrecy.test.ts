import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { Model, OidcStore } from '../../../src/oidc/store/port.ts';
import { randomToken } from '../../../src/platform/ids.ts';
import { type OpenStore, stores } from './stores.ts';

const MODELS: Model[] = [
  'AccessToken',
  'AuthorizationCode',
  'RefreshToken',
  'ClientCredentials',
  'PushedAuthorizationRequest',
  'BackchannelAuthenticationRequest',
];

describe.each(stores)('a backup of $name', ({ open }) => {
  let opened: OpenStore;
  let store: OidcStore;
  beforeAll(async () => {
    opened = await open();
    store = opened.store;
  });
  afterAll(() => opened.close());

  it('holds nothing that a client or a browser could present', async () => {
    const secrets: string[] = [];
    const secret = (): string => {
      secrets.push(randomToken());
      return secrets.at(-1)!;
    };

    const grantId = randomToken();
    await store.upsert('Grant', grantId, { accountId: 'ada' }, 60);
    for (const model of MODELS) {
      const jti = secret();
      await store.upsert(model, jti, { jti, grantId, clientId: 'visible-client' }, 60);
      await store.spend(model, jti, { spender: 'a', leaseSeconds: 10 });
    }

    const [cookie, newCookie, deviceCode, userCode, parJti] = [
      secret(),
      secret(),
      secret(),
      secret(),
      secret(),
    ];
    const uid = randomToken(9);
    await store.saveSession(cookie, { jti: cookie, uid, authorizations: { app: { sid: 's' } } }, 60);
    const rotation = { baseline: { app: { sid: 's' } }, replaces: cookie };
    await store.saveSession(
      newCookie,
      { jti: newCookie, uid, authorizations: rotation.baseline },
      60,
      rotation,
    );
    await store.upsert('DeviceCode', deviceCode, { jti: deviceCode, userCode }, 60);
    const interaction = secret();
    await store.upsert(
      'Interaction',
      interaction,
      {
        jti: interaction,
        returnTo: `https://id.example/oauth/authorize/${interaction}`,
        session: { uid, cookie },
        deviceCode,
        parJti,
      },
      60,
    );
    await store.markOnce(secret(), 'a', 60);
    await store.putAnswer(secret(), 'v1.sealed', 60);

    const dump = await opened.dump();
    expect(dump).toContain('visible-client');
    expect(secrets.filter((value) => dump.includes(value))).toEqual([]);
  });
});
