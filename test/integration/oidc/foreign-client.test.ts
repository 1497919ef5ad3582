/** What requests may ask for and be answered with, by a client that we did not write, from end to end: openid-client. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import * as openid from 'openid-client';

import { registerPerson } from '../../support/application.ts';
import { answer, openApprovals, registerDesk } from '../../support/ciba.ts';
import { eventually } from '../../support/eventually.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';
import { startPingReceiver, type PingReceiver } from '../../support/ping-receiver.ts';
import { postedForm } from '../../support/posted-form.ts';
import { registerRelyingParty, requestOf } from '../../support/relying-party.ts';

let server: TestServer;
let receiver: PingReceiver;
let who: Awaited<ReturnType<typeof registerPerson>>;
beforeAll(async () => {
  [server, receiver] = await Promise.all([
    startGatehouse({
      env: { GATEHOUSE_OUTGOING_ALLOWED_HOSTS: '127.0.0.1', GATEHOUSE_POLLING_INTERVAL_SECONDS: '1' },
    }),
    startPingReceiver(),
  ]);
  who = await registerPerson(server);
});
afterAll(async () => {
  await server?.stop();
  await receiver?.close();
});

it('pushes a request for claims, a person and a language, is posted the response, and revokes', async () => {
  const party = await registerRelyingParty(server, { requirePushedAuthorizationRequests: true });
  const { config } = party;
  const { parameters, checks } = await requestOf(party, {
    scope: 'openid',
    claims: JSON.stringify({ id_token: { email: null }, userinfo: { name: { essential: true } } }),
    login_hint: who.email,
    ui_locales: 'fr en',
    response_mode: 'form_post',
  });
  const person = createPerson(server.issuer);

  const unpushed = await person.open(openid.buildAuthorizationUrl(config, parameters).href);
  await expect(
    openid.authorizationCodeGrant(config, postedForm(unpushed.html), checks),
  ).rejects.toMatchObject({ error: 'invalid_request' });

  const page = await person.open((await openid.buildAuthorizationUrlWithPAR(config, parameters)).href);
  expect(page.html).toContain(`value="${who.email}"`);
  expect(page.html).toContain('<html lang="en"');
  const back = await person.submit(page, { identifier: who.email, password: who.password }, '/login');
  expect(back.isAway).toBe(false);
  const tokens = await openid.authorizationCodeGrant(config, postedForm(back.html), checks);

  const claims = tokens.claims();
  expect(claims).toMatchObject({ sub: who.account.sub, email: who.email });
  expect(claims).not.toHaveProperty('name');
  const userinfo = await openid.fetchUserInfo(config, tokens.access_token, who.account.sub);
  expect(userinfo).toEqual({ sub: who.account.sub, name: 'Ada' });

  const { refresh_token: refreshToken = '' } = tokens;
  await openid.tokenRevocation(config, tokens.access_token);
  expect(await openid.tokenIntrospection(config, tokens.access_token)).toEqual({ active: false });
  const renewed = await openid.refreshTokenGrant(config, refreshToken);
  await openid.tokenRevocation(config, renewed.refresh_token ?? '');
  await expect(openid.refreshTokenGrant(config, renewed.refresh_token ?? '')).rejects.toMatchObject({
    error: 'invalid_grant',
  });
  for (const { access_token: token } of [tokens, renewed]) {
    expect(await openid.tokenIntrospection(config, token)).toEqual({ active: false });
    await expect(openid.fetchUserInfo(config, token, who.account.sub)).rejects.toMatchObject({ status: 401 });
  }
});

it('is told by a ping that a person has approved, and fetches the tokens', async () => {
  const desk = await registerDesk(server, {
    backchannelTokenDeliveryMode: 'ping',
    backchannelClientNotificationEndpoint: receiver.url,
  });
  const config = await openid.discovery(
    new URL(server.issuer),
    desk.clientId,
    { backchannel_token_delivery_mode: 'ping' },
    openid.ClientSecretBasic(desk.secret ?? ''),
    { execute: [openid.allowInsecureRequests, openid.enableNonRepudiationChecks] },
  );
  const request = { scope: 'openid email', login_hint: who.email };
  await expect(openid.initiateBackchannelAuthentication(config, request)).rejects.toMatchObject({
    error: 'invalid_request',
  });

  const notification = openid.randomState();
  const asked = await openid.initiateBackchannelAuthentication(config, {
    ...request,
    client_notification_token: notification,
  });
  const person = createPerson(server.issuer);
  await answer(person, await openApprovals(server, person, who), 'approve');
  await eventually(async () => expect(receiver.pings).toHaveLength(1));
  expect(receiver.pings[0]).toMatchObject({
    authorization: `Bearer ${notification}`,
    body: JSON.stringify({ auth_req_id: asked.auth_req_id }),
  });
  const tokens = await openid.pollBackchannelAuthenticationGrant(config, asked);
  expect(tokens.claims()?.sub).toBe(who.account.sub);
});
