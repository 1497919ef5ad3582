import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import * as client from 'openid-client';

import {
  authorize,
  authorizationRequest,
  basicOf,
  registerApplication,
  registerPerson,
  type Tokens,
} from '../../support/application.ts';
import { answer, ask, asked, errorOf, openApprovals, poll, registerDesk } from '../../support/ciba.ts';
import { createShiftedClock, type ShiftedClock } from '../../support/clock.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';

let server: TestServer;
let clock: ShiftedClock;

beforeAll(async () => {
  clock = createShiftedClock();
  server = await startGatehouse({ clock });
});
afterAll(() => server.stop());

describe('asking a person without their browser', () => {
  it('gives a client that we did not write its tokens once the person has approved', async () => {
    const desk = await registerDesk(server);
    const credentials = await registerPerson(server);
    const config = await client.discovery(
      new URL(server.issuer),
      desk.clientId,
      undefined,
      client.ClientSecretBasic(desk.secret),
      { execute: [client.allowInsecureRequests] },
    );
    const started = await client.initiateBackchannelAuthentication(config, {
      scope: 'openid email offline_access',
      login_hint: credentials.email.toUpperCase(),
      binding_message: 'Order 4711, CHF 250',
    });
    expect(started).toMatchObject({ expires_in: 600, interval: 5 });

    const person = createPerson(server.issuer);
    const page = await openApprovals(server, person, credentials);
    expect(page.html).toContain('Service desk');
    expect(page.html).toContain('Order 4711, CHF 250');
    expect(page.html).toContain(credentials.email);
    const after = await answer(person, page, 'approve');
    expect(after.html).toContain('Approved.');
    expect(after.html).toContain('Nothing waits for you');

    const tokens = await client.pollBackchannelAuthenticationGrant(config, { ...started, interval: 1 });
    expect(tokens.claims()).toMatchObject({ sub: credentials.account.sub, acr: 'aal1', amr: ['pwd'] });
    expect(tokens.scope).toBe('openid email offline_access');
    const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token ?? '');
    expect(refreshed.access_token).toEqual(expect.any(String));
  });
});
