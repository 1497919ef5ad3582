/** Devices by libraries that we did not write: they ask, wait, slow down and go on as RFC 8628 has it. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import * as oauth from 'oauth4webapi';
import * as oidc from 'openid-client';

import { DEVICE_CODE_GRANT } from '../../../src/clients/client.ts';
import { refusalOf, registerApi, registerRole, registerVisitor, tokensOf } from '../../support/apis.ts';
import { registerPerson } from '../../support/application.ts';
import { approve, pollDevice, registerDevice, startDevice } from '../../support/devices.ts';
import { proofKey, proven } from '../../support/dpop.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';

let server: TestServer;
let credentials: { email: string; password: string };
beforeAll(async () => {
  server = await startGatehouse({ store: 'redis', env: { GATEHOUSE_POLLING_INTERVAL_SECONDS: '1' } });
  credentials = await registerPerson(server);
}, 60_000);
afterAll(() => server?.stop());

it('openid-client signs in, refreshes and asks for userinfo', async () => {
  const { clientId } = await registerDevice(server, { consent: 'once', firstParty: false });
  const config = await oidc.discovery(new URL(server.issuer), clientId, undefined, oidc.None(), {
    execute: [oidc.allowInsecureRequests],
  });
  expect(config.serverMetadata()).toMatchObject({
    device_authorization_endpoint: `${server.issuer}/oauth/device_authorization`,
    grant_types_supported: expect.arrayContaining([DEVICE_CODE_GRANT]),
  });

  const started = await oidc.initiateDeviceAuthorization(config, { scope: 'openid email offline_access' });
  expect(started).toMatchObject({ interval: 1, expires_in: 600 });
  expect(started.user_code).toMatch(/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/);
  const polling = oidc.pollDeviceAuthorizationGrant(config, started);
  const page = await approve(createPerson(server.issuer), server, started.user_code, credentials);
  expect(page.html).toContain('Your device is connected');

  const tokens = await polling;
  const { sub = '' } = tokens.claims() ?? {};
  expect(await oidc.fetchUserInfo(config, tokens.access_token, sub)).toMatchObject({
    email: credentials.email,
  });
  const refreshed = await oidc.refreshTokenGrant(config, tokens.refresh_token ?? '');
  expect(refreshed.access_token).not.toBe(tokens.access_token);
});

it('oauth4webapi is told to wait, then to wait longer, then gets a token for an API', async () => {
  const api = await registerApi(server);
  const visitor = await registerVisitor(server, { roles: [await registerRole(server, api, ['read'])] });
  const { clientId } = await registerDevice(server, { consent: 'once', firstParty: false });
  const options = { [oauth.allowInsecureRequests]: true };
  const issuer = new URL(server.issuer);
  const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options));
  const client: oauth.Client = { client_id: clientId };
  const started = await oauth.processDeviceAuthorizationResponse(
    as,
    client,
    await oauth.deviceAuthorizationRequest(
      as,
      client,
      oauth.None(),
      { scope: 'read write', resource: api.identifier },
      options,
    ),
  );
  const poll = async () =>
    oauth.processDeviceCodeResponse(
      as,
      client,
      await oauth.deviceCodeGrantRequest(as, client, oauth.None(), started.device_code, options),
    );

  await expect(poll()).rejects.toMatchObject({ error: 'authorization_pending' });
  await expect(poll()).rejects.toMatchObject({ error: 'slow_down' });
  await expect(poll()).rejects.toMatchObject({ error: 'slow_down' });
  const { html } = await approve(visitor.person, server, started.user_code, visitor.credentials);
  expect(html).toContain('Your device is connected');
  expect(await poll()).toMatchObject({ scope: 'read', token_type: 'bearer' });
});

it('a device with a key gets tokens that are bound to it (RFC 9449)', async () => {
  const device = await registerDevice(server, { dpopBoundAccessTokens: true });
  const started = await startDevice(server, device);
  await approve(createPerson(server.issuer), server, started.user_code, credentials);
  expect(await refusalOf(await pollDevice(server, device, started.device_code))).toEqual([
    400,
    'invalid_grant',
  ]);
  const bound = await pollDevice(
    server,
    device,
    started.device_code,
    await proven(server.issuer, await proofKey()),
  );
  expect(await tokensOf(bound)).toMatchObject({ token_type: 'DPoP' });
});
