/** What clients that register themselves can ask for about messages, tokens and subjects, as operators can for theirs. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { compactDecrypt, decodeJwt, decodeProtectedHeader } from 'jose';

import {
  authorizationRequest,
  authorize,
  codeOf,
  OPERATOR,
  redeem,
  registerPerson,
} from '../../support/application.ts';
import { tokensOf } from '../../support/apis.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson } from '../../support/person.ts';
import { generateKey, type OwnKey } from '../../support/relying-party.ts';
import { type Answer, initialToken, METADATA, recorded, register, send } from '../../support/registration.ts';

let server: TestServer;
let token: string;
let signing: OwnKey;
let encryption: OwnKey;
let credentials: Awaited<ReturnType<typeof registerPerson>>;
beforeAll(async () => {
  server = await startGatehouse({
    env: { GATEHOUSE_REGISTRATION_ENABLED: 'true', GATEHOUSE_REGISTRATION_ADDRESS_FREE_ATTEMPTS: '1000' },
  });
  ({ token } = await initialToken(server));
  signing = await generateKey('ES256');
  encryption = await generateKey('ECDH-ES', { use: 'enc' });
  credentials = await registerPerson(server);
}, 60_000);
afterAll(() => server.stop());

interface Registered {
  clientId: string;
  secret: string | undefined;
  redirectUri: string;
  body: Answer['body'];
  /** The whole registration, said anew. */
  put: (metadata: object) => Promise<Answer>;
}

async function registered(metadata: object): Promise<Registered> {
  const { status, body } = await register(server, token, { ...METADATA, ...metadata });
  expect([status, body]).toEqual([201, expect.anything()]);
  const uri = String(body['registration_client_uri']);
  let access = String(body['registration_access_token']);
  return {
    clientId: String(body['client_id']),
    secret: body['client_secret'] as string | undefined,
    redirectUri: METADATA.redirect_uris[0]!,
    body,
    put: async (anew) => {
      const said = { ...METADATA, client_id: body['client_id'], ...anew };
      const answer = await send(uri, { method: 'PUT', token: access, body: said });
      if (answer.status === 200) access = String(answer.body['registration_access_token']);
      return answer;
    },
  };
}

/** The ID token of a whole pass. */
async function idTokenFor(client: Registered): Promise<string> {
  const person = createPerson(server.issuer);
  const request = authorizationRequest(server, client, { scope: 'openid' });
  const page = await authorize(person, request, credentials);
  // The second time their yes is remembered.
  const code = codeOf(page.isAway ? page : await person.submit(page, { decision: 'allow' }, '/consent'));
  const tokens = await tokensOf(await redeem(server, client, { code, verifier: request.verifier }));
  return String((tokens as { id_token?: string }).id_token);
}

describe('a client that registers itself', () => {
  it('is held to signing its requests, once it says that it does', async () => {
    const client = await registered({
      require_signed_request_object: true,
      request_object_signing_alg: 'ES256',
      authorization_signed_response_alg: 'ES256',
      jwks: { keys: [signing.jwk] },
    });
    expect(client.body).toMatchObject({
      token_endpoint_auth_method: 'client_secret_basic',
      require_signed_request_object: true,
      request_object_signing_alg: 'ES256',
      authorization_signed_response_alg: 'ES256',
      jwks: { keys: [{ kid: signing.jwk.kid }] },
    });
    const plain = await createPerson(server.issuer).open(authorizationRequest(server, client).url);
    expect([plain.status, plain.html.includes('name="password"')]).toEqual([400, false]);
    expect((await recorded(server, 'authorization.failed')).at(-1)).toMatchObject({
      client_id: client.clientId,
      payload: { reason: expect.stringContaining('Request Object must be used') },
    });
    // RFC 7592 §2.2: what it leaves out is taken back, the keys that were for it with it.
    const { status, body } = await client.put({});
    expect(status).toBe(200);
    for (const name of ['require_signed_request_object', 'request_object_signing_alg', 'jwks']) {
      expect(body).not.toHaveProperty(name);
    }
    const page = await createPerson(server.issuer).open(authorizationRequest(server, client).url);
    expect(page.html).toContain('name="password"');
  });

  it('is held to the algorithm of its assertions, where it makes any', async () => {
    const alg = { token_endpoint_auth_signing_alg: 'ES256' };
    const signed = { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [signing.jwk] } };
    expect((await registered({ ...signed, ...alg })).body).toMatchObject(alg);
    expect((await registered(alg)).body).not.toHaveProperty('token_endpoint_auth_signing_alg');
  });

  it('gets its ID tokens encrypted to the key that it registered', async () => {
    const client = await registered({
      token_endpoint_auth_method: undefined,
      id_token_encrypted_response_alg: 'ECDH-ES',
      id_token_encrypted_response_enc: 'A256GCM',
      jwks: { keys: [encryption.jwk] },
    });
    // A key to encrypt to says nothing of how it authenticates (RFC 7591 §2).
    expect(client.body['token_endpoint_auth_method']).toBe('client_secret_basic');
    const encrypted = await idTokenFor(client);
    expect(decodeProtectedHeader(encrypted)).toMatchObject({ alg: 'ECDH-ES', enc: 'A256GCM' });
    const { plaintext } = await compactDecrypt(encrypted, encryption.privateKey);
    expect(decodeJwt(new TextDecoder().decode(plaintext)).aud).toBe(client.clientId);
  });

  it('knows people by a name of its own, which does not change by leaving it out', async () => {
    const client = await registered({ subject_type: 'pairwise' });
    expect(client.body['subject_type']).toBe('pairwise');
    const { sub } = decodeJwt(await idTokenFor(client));
    expect(sub).not.toBe(credentials.account.sub);
    const { status, body } = await client.put({ client_name: 'Handbook' });
    expect([status, body['subject_type']]).toEqual([200, 'pairwise']);
    expect(decodeJwt(await idTokenFor(client)).sub).toBe(sub);
  });

  it.each<[string, object, RegExp]>([
    ['requests that nobody signs', { request_object_signing_alg: 'none' }, /request_object_signing_alg/],
    [
      'signed requests without a key',
      { require_signed_request_object: true },
      /signed requests need its public keys/,
    ],
    ['what is no yes or no', { require_signed_request_object: 'yes' }, /require_signed_request_object/],
    [
      'userinfo signed by a secret',
      { userinfo_signed_response_alg: 'HS256' },
      /userinfo_signed_response_alg/,
    ],
    [
      'userinfo signed by a key that there is not',
      { userinfo_signed_response_alg: 'ML-DSA-65' },
      /no key for ML-DSA-65/,
    ],
    [
      'encryption by what is broken',
      { id_token_encrypted_response_alg: 'RSA1_5' },
      /id_token_encrypted_response_alg/,
    ],
    ['encryption without a key', { id_token_encrypted_response_alg: 'ECDH-ES' }, /public keys of "use" enc/],
    ['another type of subject', { subject_type: 'private' }, /subject_type/],
    [
      'name of its own for people on whose machines it runs',
      {
        subject_type: 'pairwise',
        redirect_uris: ['http://127.0.0.1/callback'],
        token_endpoint_auth_method: 'none',
      },
      /no one host/,
    ],
    [
      'a sector beyond its host',
      { subject_type: 'pairwise', sector_identifier_uri: 'https://app.example/sector.json' },
      /for clients that an operator registers/,
    ],
  ])('gets no %s', async (_name, metadata, reason) => {
    const { status, body } = await register(server, token, { ...METADATA, ...metadata });
    expect([status, body['error']]).toEqual([400, 'invalid_client_metadata']);
    expect(body['error_description']).toMatch(reason);
  });

  it('adds no address to the sector that an operator put it into', async () => {
    const client = await registered({ subject_type: 'pairwise' });
    // As the operator's command leaves it, once it has read the document.
    await server.state.db.query(
      `update clients set protocol_options = protocol_options || '{"sector_identifier_uri":"https://app.example/s"}' where client_id = $1`,
      [client.clientId],
    );
    await server.subjects.clients.update(client.clientId, { name: 'Wiki' }, OPERATOR);
    const more = { redirect_uris: [...METADATA.redirect_uris, 'https://app.example/other'] };
    const { status, body } = await client.put(more);
    expect([status, body['error']]).toEqual([400, 'invalid_redirect_uri']);
    expect((await client.put({})).status).toBe(200);
  });
});
