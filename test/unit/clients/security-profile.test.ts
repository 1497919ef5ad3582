import { describe, expect, it } from '@jest/globals';

import { DEVICE_CODE_GRANT } from '../../../src/clients/client.ts';
import {
  changeDefinition,
  defineClient,
  type DefinitionChanges,
  type DefinitionInput,
} from '../../../src/clients/definition.ts';

const KEY = {
  kty: 'EC',
  crv: 'P-256',
  x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
  y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
};
const JWKS = { keys: [KEY] };
const FAPI: DefinitionInput = {
  name: 'Bank',
  redirectUris: ['https://bank.example/cb'],
  authMethod: 'private_key_jwt',
  jwks: JWKS,
  profile: 'fapi2',
};

describe('the profile fapi2', () => {
  it('tightens what nobody spoke of', () => {
    expect(defineClient(FAPI)).toMatchObject({
      requirePkce: true,
      requirePushedAuthorizationRequests: true,
      dpopBoundAccessTokens: true,
      idTokenAlg: 'ES256',
      introspectionSignedResponseAlg: 'ES256',
    });
  });

  it('leaves what is good enough', () => {
    const client = defineClient({
      ...FAPI,
      tlsClientCertificateBoundAccessTokens: true,
      idTokenAlg: 'EdDSA',
    });
    expect(client).toMatchObject({ dpopBoundAccessTokens: false, idTokenAlg: 'EdDSA' });
  });

  it('binds the tokens of a client that shows a certificate to that', () => {
    const { jwks: _jwks, ...rest } = FAPI;
    const client = defineClient({
      ...rest,
      authMethod: 'tls_client_auth',
      tlsClientAuthSanDns: 'bank.example',
    });
    expect(client).toMatchObject({
      tlsClientCertificateBoundAccessTokens: true,
      dpopBoundAccessTokens: false,
    });
  });

  it('takes a machine as well', () => {
    const machine = defineClient({
      name: 'Batch',
      authMethod: 'private_key_jwt',
      jwks: JWKS,
      profile: 'fapi2',
    });
    expect(machine).toMatchObject({ kind: 'machine', dpopBoundAccessTokens: true });
  });

  it.each<[string, Partial<DefinitionInput>, RegExp]>([
    [
      'a secret',
      { authMethod: 'client_secret_basic', jwks: undefined as never },
      /not by client_secret_basic/,
    ],
    [
      'a public client',
      { authMethod: 'none', jwks: undefined as never },
      /must authenticate by private_key_jwt.*not by none/,
    ],
    ['no PKCE', { requirePkce: false }, /PKCE must be required/],
    ['requests that are not pushed', { requirePushedAuthorizationRequests: false }, /must be pushed/],
    ['tokens that anybody can use', { dpopBoundAccessTokens: false }, /must be bound/],
    ['an http redirect', { redirectUris: ['http://127.0.0.1/cb'], kind: 'web' }, /must be https: http:/],
    ['ID tokens by RS256', { idTokenAlg: 'RS256' }, /id_token_signed_response_alg must be .* not RS256/],
    ['userinfo by RS256', { userinfoSignedResponseAlg: 'RS256' }, /userinfo_signed_response_alg must be/],
    ['requests by RS256', { requestObjectSigningAlg: 'RS256' }, /request_object_signing_alg must be/],
    [
      'a grant that it does not know',
      { grantTypes: ['authorization_code', DEVICE_CODE_GRANT] },
      /only, not urn:ietf:params:oauth:grant-type:device_code/,
    ],
    ['refresh tokens that rotate', { rotateRefreshTokens: true }, /do not rotate/],
  ])('refuses %s', (_name, input, message) => {
    expect(() => defineClient({ ...FAPI, ...input })).toThrow(message);
  });

  it('names every point at once', () => {
    const attempt = (): unknown =>
      defineClient({
        name: 'Old',
        redirectUris: ['https://old.example/cb'],
        profile: 'fapi2',
        requirePkce: false,
        idTokenAlg: 'RS256',
      });
    expect(attempt).toThrow(/refuses 3 points: .*client_secret_basic; .*PKCE.*; .*RS256/);
  });

  it.each<[string, DefinitionChanges, RegExp]>([
    ['the authentication', { authMethod: 'client_secret_basic', jwks: null }, /not by client_secret_basic/],
    ['the binding', { dpopBoundAccessTokens: false }, /must be bound/],
    ['PKCE', { requirePkce: false }, /PKCE/],
    ['pushed requests', { requirePushedAuthorizationRequests: false }, /pushed/],
    ['the redirect', { redirectUris: ['http://localhost/cb'] }, /https/],
    ['the algorithm', { idTokenAlg: 'RS256' }, /RS256/],
    // Without one it would be RS256, as soon as the client asks for such an answer.
    [
      'the algorithm of responses',
      { authorizationSignedResponseAlg: null },
      /authorization_signed_response_alg must be .* not RS256/,
    ],
    [
      'the algorithm of introspection',
      { introspectionSignedResponseAlg: null },
      /introspection_signed_response_alg must be .* not RS256/,
    ],
  ])('is not broken by a change of %s', (_name, changes, message) => {
    const before = defineClient(FAPI);
    expect(() => changeDefinition(before, changes)).toThrow(message);
    // Taken off first, it stands in no way.
    const { profile: _profile, ...rest } = FAPI;
    expect(changeDefinition(defineClient(rest), { requirePkce: false }).requirePkce).toBe(false);
  });

  it('is set on a client that was there before, and taken off again', () => {
    const { profile: _profile, ...rest } = FAPI;
    const after = changeDefinition(defineClient(rest), { profile: 'fapi2' });
    expect(after).toMatchObject({ dpopBoundAccessTokens: true, idTokenAlg: 'ES256' });
    // What it had set stays: nothing gets weaker by itself.
    const free = changeDefinition(after, { profile: null });
    expect(free).toMatchObject({ dpopBoundAccessTokens: true, idTokenAlg: 'ES256' });
    expect(free.profile).toBeUndefined();
  });
});

describe('the profile fapi2_message_signing', () => {
  const SIGNED: DefinitionInput = { ...FAPI, profile: 'fapi2_message_signing' };

  it('has requests and responses signed', () => {
    expect(defineClient(SIGNED)).toMatchObject({
      requireSignedRequestObject: true,
      authorizationSignedResponseAlg: 'ES256',
      introspectionSignedResponseAlg: 'ES256',
    });
  });

  it.each<[string, Partial<DefinitionInput>, RegExp]>([
    ['requests that are not signed', { requireSignedRequestObject: false }, /requests must be signed/],
    [
      'responses by RS256',
      { authorizationSignedResponseAlg: 'RS256' },
      /authorization_signed_response_alg must be/,
    ],
    [
      'no keys to check requests with',
      { authMethod: 'tls_client_auth', tlsClientAuthSanDns: 'bank.example', jwks: undefined as never },
      /public keys|its keys/,
    ],
  ])('refuses %s', (_name, input, message) => {
    expect(() => defineClient({ ...SIGNED, ...input })).toThrow(message);
  });
});
