/** Sending people to a stranger's page by way of ours (RFC 9700 §4.11.2). */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  authorizationRequest,
  authorize,
  registerApplication,
  registerPerson,
  type Application,
} from '../support/application.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import { createPerson } from '../support/person.ts';
import { recordedOf } from '../support/recorded.ts';
import { initialToken, METADATA, register } from '../support/registration.ts';

let server: TestServer;
let stranger: Application;
let known: Application;
beforeAll(async () => {
  server = await startGatehouse({ env: { GATEHOUSE_REGISTRATION_ENABLED: 'true' } });
  const { token } = await initialToken(server);
  const { body } = await register(server, token);
  stranger = {
    clientId: String(body['client_id']),
    secret: String(body['client_secret']),
    redirectUri: METADATA.redirect_uris[0]!,
  };
  known = await registerApplication(server, { redirectUris: METADATA.redirect_uris });
});
afterAll(() => server.stop());

const BROKEN: [string, Record<string, string | undefined>][] = [
  ['an unknown code challenge method', { code_challenge_method: 'S512' }],
  ['an unknown response type', { response_type: 'token' }],
  ['no PKCE', { code_challenge: undefined, code_challenge_method: undefined }],
  ['another prompt beside none', { prompt: 'none login' }],
  ['the error as a form', { response_type: 'token', response_mode: 'form_post' }],
];

describe('a broken request of a client that registered itself', () => {
  it.each(BROKEN)('with %s leads nobody away who has not signed in', async (_name, parameters) => {
    const person = createPerson(server.issuer);
    const response = await person.request(authorizationRequest(server, stranger, parameters).url);
    expect(response.status).toBe(400);
    expect(response.headers.get('location')).toBeNull();
    expect(await response.text()).not.toContain(stranger.redirectUri);
    expect(await recordedOf(server, response)).toMatchObject([
      { type: 'authorization.failed', outcome: 'failure' },
    ]);
  });

  it.each(BROKEN)('with %s is told to a client that an operator registered', async (_name, parameters) => {
    const person = createPerson(server.issuer);
    const response = await person.request(authorizationRequest(server, known, parameters).url);
    const told = response.headers.get('location') ?? (await response.text());
    expect(told).toContain(known.redirectUri);
    expect(told).toContain('error');
  });

  it('is told to it once the person has signed in, and where it asks in silence', async () => {
    const person = createPerson(server.issuer);
    const silent = await person.open(authorizationRequest(server, stranger, { prompt: 'none' }).url);
    expect(silent.url.searchParams.get('error')).toBe('login_required');
    await authorize(person, authorizationRequest(server, known), await registerPerson(server));
    const broken = await person.open(authorizationRequest(server, stranger, { response_type: 'token' }).url);
    expect(broken.isAway).toBe(true);
    expect(broken.url.href).toContain('error=unsupported_response_type');
  });
});
