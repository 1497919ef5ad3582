/** The store goes away at a step: nothing half done is left, and whoever tries again succeeds. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { Model, OidcStore } from '../../../src/oidc/store/port.ts';
import { registerPerson, type Application } from '../../support/application.ts';
import { refusalOf, tokensOf } from '../../support/apis.ts';
import {
  approve,
  enterCode,
  pollDevice,
  registerDevice,
  requestDeviceCode,
  startDevice,
} from '../../support/devices.ts';
import { startGatehouse, type StoreKind, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';

/** A store whose next such operation loses its answer. */
function createLosing() {
  let lost: { operation: string; model?: Model } | undefined;
  const losing =
    <Args extends unknown[], T>(operation: string, work: (...args: Args) => Promise<T>) =>
    async (...args: Args): Promise<T> => {
      const result = await work(...args);
      if (lost?.operation !== operation || (lost.model !== undefined && lost.model !== args[0]))
        return result;
      lost = undefined;
      throw Object.assign(new Error('the store is away'), { code: 'ECONNRESET' });
    };
  return {
    lose: (operation: 'upsert' | 'markOnce' | 'poll', model?: Model) => {
      lost = { operation, ...(model ? { model } : {}) };
    },
    decorate: (store: OidcStore): OidcStore => ({
      ...store,
      upsert: losing('upsert', store.upsert),
      markOnce: losing('markOnce', store.markOnce),
      poll: losing('poll', store.poll),
    }),
  };
}

describe.each<StoreKind>(['redis', 'postgres'])('a store that loses an answer, over %s', (store) => {
  let server: TestServer;
  let device: Application;
  let credentials: { email: string; password: string };
  const { decorate, lose } = createLosing();
  beforeAll(async () => {
    server = await startGatehouse({ store, decorateStore: decorate });
    device = await registerDevice(server);
    credentials = await registerPerson(server);
  }, 60_000);
  afterAll(() => server?.stop());

  it('gives out no code that it may not have', async () => {
    lose('upsert', 'DeviceCode');
    expect(await refusalOf(await requestDeviceCode(server, device))).toEqual([
      503,
      'temporarily_unavailable',
    ]);
    expect((await requestDeviceCode(server, device)).status).toBe(200);
  });

  it('leaves a code as it was when its approval is lost, and takes the second one', async () => {
    const started = await startDevice(server, device);
    const person = createPerson(server.issuer);
    const login = await person.submit(await enterCode(person, server, started.user_code), { confirm: 'yes' });
    lose('markOnce');
    const { email: identifier, password } = credentials;
    const lostOne = await person.submit(login, { identifier, password }, '/login');
    expect(lostOne.status).toBe(503);
    expect(await refusalOf(await pollDevice(server, device, started.device_code))).toEqual([
      400,
      'authorization_pending',
    ]);
    expect((await person.open(lostOne.url.href)).html).toContain('Your device is connected');
    await tokensOf(await pollDevice(server, device, started.device_code));
  });

  it('never says no for the person', async () => {
    const started = await startDevice(server, device);
    const person = createPerson(server.issuer);
    const question = await enterCode(person, server, started.user_code);
    lose('markOnce');
    expect((await person.submit(question, { confirm: 'yes' })).status).toBe(503);
    const page = await approve(person, server, started.user_code, credentials);
    expect(page.html).toContain('Your device is connected');
  });

  it.each(['AccessToken', 'RefreshToken'] as const)('redeems again where the %s was lost', async (model) => {
    const started = await startDevice(server, device);
    await approve(createPerson(server.issuer), server, started.user_code, credentials);
    lose('upsert', model);
    expect(await refusalOf(await pollDevice(server, device, started.device_code))).toEqual([
      503,
      'temporarily_unavailable',
    ]);
    await tokensOf(await pollDevice(server, device, started.device_code));
  });

  it('tells a device that asks to come again', async () => {
    const started = await startDevice(server, device);
    lose('poll');
    expect(await refusalOf(await pollDevice(server, device, started.device_code))).toEqual([
      503,
      'temporarily_unavailable',
    ]);
  });
});
