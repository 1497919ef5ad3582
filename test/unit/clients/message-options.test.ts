import { describe, expect, it } from '@jest/globals';

import { defineClient, type DefinitionInput } from '../../../src/clients/definition.ts';

const modulus = Buffer.alloc(256, 0xff).toString('base64url');
const SIGNING = { kty: 'RSA', e: 'AQAB', n: modulus };
const ENCRYPTION = { ...SIGNING, use: 'enc' };
const WEB = { name: 'Wiki', redirectUris: ['https://wiki.example/cb'] };
const KEYS = { jwks: { keys: [SIGNING, { ...ENCRYPTION, kid: 'enc' }] } };

describe('a client has keys where something uses them', () => {
  it.each<[string, Partial<DefinitionInput>]>([
    ['its assertions', { authMethod: 'private_key_jwt' }],
    ['signed requests that it must send', { requireSignedRequestObject: true }],
    ['signed requests of one algorithm', { requestObjectSigningAlg: 'PS256' }],
    ['encrypted ID tokens', { idTokenEncryptedResponseAlg: 'RSA-OAEP-256' }],
    ['encrypted introspection', { introspectionEncryptedResponseAlg: 'RSA-OAEP-256' }],
  ])('%s', (_what, input) => {
    expect(defineClient({ ...WEB, ...KEYS, ...input })).toMatchObject({ ...KEYS, ...input });
    expect(() => defineClient({ ...WEB, ...input })).toThrow(/jwks/);
  });

  it('and nowhere else', () => {
    expect(() => defineClient({ ...WEB, ...KEYS })).toThrow(/has none of them/);
  });

  it('which may be published instead, but not both', () => {
    const published = { requireSignedRequestObject: true, jwksUri: 'https://wiki.example/jwks' };
    expect(defineClient({ ...WEB, ...published })).toMatchObject(published);
    expect(() => defineClient({ ...WEB, ...published, ...KEYS })).toThrow(/one of jwks and jwks_uri/);
  });

  it('a public client too: it needs no secret to read what is encrypted', () => {
    const browser = { ...WEB, isPublic: true, ...KEYS, idTokenEncryptedResponseAlg: 'RSA-OAEP-256' } as const;
    expect(defineClient(browser)).toMatchObject({ authMethod: 'none', ...KEYS });
  });
});

describe('options of messages are refused', () => {
  it.each<[string, Partial<DefinitionInput>, RegExp]>([
    ['none', { requestObjectSigningAlg: 'none' as never, ...KEYS }, /request_object_signing_alg/],
    [
      'a secret as the key',
      { requestObjectSigningAlg: 'HS256' as never, ...KEYS },
      /request_object_signing_alg/,
    ],
    [
      'an answer signed by HMAC',
      { userinfoSignedResponseAlg: 'HS256' as never },
      /userinfo_signed_response_alg/,
    ],
    [
      'an answer that is not signed',
      { authorizationSignedResponseAlg: 'none' as never },
      /authorization_signed/,
    ],
    [
      'RSA1_5',
      { idTokenEncryptedResponseAlg: 'RSA1_5' as never, ...KEYS },
      /id_token_encrypted_response_alg/,
    ],
    [
      'a shared key',
      { idTokenEncryptedResponseAlg: 'dir' as never, ...KEYS },
      /id_token_encrypted_response_alg/,
    ],
    [
      'a cipher without an algorithm',
      { idTokenEncryptedResponseEnc: 'A256GCM' },
      /id_token_encrypted_response_enc needs id_token_encrypted_response_alg/,
    ],
    [
      'encryption without a key for it',
      { idTokenEncryptedResponseAlg: 'RSA-OAEP-256', jwks: { keys: [SIGNING] } },
      /no key of "use" enc/,
    ],
    [
      'encryption to a key of another type',
      { idTokenEncryptedResponseAlg: 'ECDH-ES', ...KEYS },
      /no key of "use" enc that ECDH-ES/,
    ],
    [
      'encryption to a key for another algorithm',
      {
        idTokenEncryptedResponseAlg: 'ECDH-ES',
        jwks: { keys: [{ kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA', use: 'enc', alg: 'ECDH-ES+A256KW' }] },
      },
      /no key of "use" enc that ECDH-ES/,
    ],
    [
      'encrypted userinfo that nobody signed',
      { userinfoEncryptedResponseAlg: 'RSA-OAEP-256', ...KEYS },
      /userinfo_signed_response_alg is missing/,
    ],
  ])('%s', (_what, input, advice) => {
    expect(() => defineClient({ ...WEB, ...input })).toThrow(advice);
  });

  it.each<Partial<DefinitionInput>>([
    { requireSignedRequestObject: true, ...KEYS },
    { authorizationSignedResponseAlg: 'ES256' },
    { userinfoSignedResponseAlg: 'ES256' },
    { idTokenEncryptedResponseAlg: 'RSA-OAEP-256', ...KEYS },
  ])('for a machine, which nobody signs in to: %j', (input) => {
    expect(() => defineClient({ name: 'Backup', ...input })).toThrow(/nobody signs in to a machine/);
  });

  it('but a machine may ask for introspection as a JWT', () => {
    const options = { introspectionSignedResponseAlg: 'ES256' } as const;
    expect(defineClient({ name: 'Backup', ...options })).toMatchObject(options);
  });
});
