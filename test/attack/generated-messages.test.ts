/** Generated `claims` parameters and signed requests: answered each, never with a fault of ours, never with a hang. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CompactSign } from 'jose';

import { authorizationRequest, basicOf, signedIn, type Application } from '../support/application.ts';
import { startGatehouse, type TestServer } from '../support/gatehouse.ts';
import type { Person } from '../support/person.ts';
import { generateKey, type OwnKey } from '../support/relying-party.ts';

const RUNS = 100;
const SEED = 20_261_122;

let server: TestServer;
let application: Application;
let person: Person;
let key: OwnKey;
beforeAll(async () => {
  server = await startGatehouse();
  key = await generateKey('ES256');
  ({ application, person } = await signedIn(server, {
    jwks: { keys: [key.jwk] },
    requestObjectSigningAlg: 'ES256',
    requireSignedRequestObject: false,
  }));
});
afterAll(() => server.stop());

/** Values that mean something to somebody, and others. */
const value = fc.oneof(
  fc.constantFrom(null, true, 0, '', 'aal2', 'essential', '__proto__', '\u0000', { toString: null }),
  fc.jsonValue({ maxDepth: 2 }),
);
const claimRequest = fc.oneof(
  value,
  fc.record({ essential: value, value, values: value }, { requiredKeys: [] }),
);
const claims = fc.oneof(
  fc.json(),
  fc.string(),
  fc
    .record(
      {
        userinfo: fc.oneof(
          value,
          fc.dictionary(fc.constantFrom('email', 'sub', 'roles', '__proto__'), claimRequest),
        ),
        id_token: fc.oneof(
          value,
          fc.dictionary(fc.constantFrom('acr', 'sub', 'auth_time', 'name', 'constructor'), claimRequest),
        ),
      },
      { requiredKeys: [] },
    )
    .map((object) => JSON.stringify(object)),
);
const NAMES = (
  'scope claims prompt max_age acr_values response_mode resource id_token_hint nonce aud exp nbf iat jti sub state ' +
  'redirect_uri login_hint ui_locales client_id authorization_details dpop_jkt gatehouse_narrowing __proto__ constructor'
).split(' ');

async function expectNoFault(response: Response): Promise<void> {
  const isFault = response.status >= 500;
  expect(isFault ? `${response.status} ${await response.text()}` : 'no fault').toBe('no fault');
  const location = response.headers.get('location') ?? '';
  expect(location).not.toContain('error=server_error');
}

it('claims', async () => {
  await fc.assert(
    fc.asyncProperty(claims, async (text) => {
      const { url } = authorizationRequest(server, application, { claims: text });
      await expectNoFault(await person.request(url));
    }),
    { numRuns: RUNS, seed: SEED, endOnFailure: true },
  );
}, 60_000);

it('signed requests', async () => {
  const changes = fc.dictionary(fc.constantFrom(...NAMES), value, { maxKeys: 4 });
  const header = fc.record(
    { typ: value, kid: fc.oneof(value, fc.constant('KID')), cty: value },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(changes, header, async (changed, { kid, ...rest }) => {
      const { searchParams } = new URL(authorizationRequest(server, application).url);
      const now = Math.floor(Date.now() / 1000);
      const payload = {
        ...Object.fromEntries(searchParams),
        iss: application.clientId,
        aud: server.issuer,
        exp: now + 60,
        ...changed,
      };
      const request = await new CompactSign(new TextEncoder().encode(JSON.stringify(payload)))
        .setProtectedHeader({ alg: 'ES256', ...rest, kid: kid === 'KID' ? key.jwk.kid : kid } as never)
        .sign(key.privateKey);
      const url = new URL(authorizationRequest(server, application).url);
      url.searchParams.set('request', request);
      await expectNoFault(await person.request(url.href));
      await expectNoFault(
        await fetch(`${server.issuer}/oauth/par`, {
          method: 'POST',
          headers: { authorization: basicOf(application) },
          body: new URLSearchParams({ request }),
        }),
      );
    }),
    { numRuns: RUNS, seed: SEED, endOnFailure: true },
  );
}, 60_000);
