import { describe, expect, it } from '@jest/globals';
import { Provider } from 'oidc-provider';

import { CLIENT_SCOPES, type Client } from '../../../src/clients/client.ts';
import type { DefinitionInput } from '../../../src/clients/definition.ts';
import { GATEHOUSE_METADATA, toMetadata } from '../../../src/clients/metadata.ts';
import { generateSigningKey } from '../../../src/keys/generate.ts';
import { SIGNING_ALGS } from '../../../src/keys/signing-key.ts';
import { buildClient } from '../../support/factories/client.ts';

const generated = await Promise.all(SIGNING_ALGS.map(generateSigningKey));
const provider = new Provider('https://id.example', {
  jwks: { keys: generated.map(({ privateJwk }) => privateJwk) },
  cookies: { keys: ['a', 'b'] },
  // Nothing is stored here.
  adapter: () => ({}) as never,
  scopes: [...CLIENT_SCOPES],
  responseTypes: ['code'],
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
  extraClientMetadata: { properties: [GATEHOUSE_METADATA] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    dPoP: { enabled: true },
    pushedAuthorizationRequests: { enabled: true },
    rpInitiatedLogout: { enabled: true },
  },
});

interface ProviderClient {
  redirectUriAllowed: (uri: string) => boolean;
  postLogoutRedirectUriAllowed: (uri: string) => boolean;
  compareClientSecret: (secret: string) => boolean;
  metadata: () => Record<string, unknown>;
}

function asProviderSees(client: Client): ProviderClient {
  return new (provider.Client as unknown as new (metadata: object) => ProviderClient)(toMetadata(client));
}

const KEY = { ...generated[2]!.publicJwk };

describe('the provider accepts', () => {
  it.each<[string, Partial<DefinitionInput>]>([
    ['a web client', { postLogoutRedirectUris: ['https://app.example/'] }],
    [
      'a web client under development',
      { redirectUris: ['http://localhost:3000/cb', 'http://127.0.0.1:3000'] },
    ],
    ['a start page on loopback', { initiateLoginUri: 'http://localhost:3000/login' }],
    ['a start page on https', { initiateLoginUri: 'https://app.example/login' }],
    ['client_secret_post', { authMethod: 'client_secret_post' }],
    ['private_key_jwt', { authMethod: 'private_key_jwt', jwks: { keys: [KEY] } }],
    ['keys at a URI', { authMethod: 'private_key_jwt', jwksUri: 'https://app.example/jwks' }],
    ['a browser client', { isPublic: true }],
    ['a native client', { isPublic: true, redirectUris: ['com.example.app:/cb', 'http://127.0.0.1/cb'] }],
    ['a machine client', { redirectUris: [] }],
    ['ES256', { idTokenAlg: 'ES256' }],
    ['EdDSA', { idTokenAlg: 'EdDSA' }],
    ['PAR and DPoP', { requirePushedAuthorizationRequests: true, dpopBoundAccessTokens: true }],
    [
      'pages and contacts',
      {
        clientUri: 'https://app.example/',
        logoUri: 'https://app.example/logo.png',
        policyUri: 'https://app.example/privacy',
        tosUri: 'https://app.example/tos',
        contacts: ['ops@app.example'],
      },
    ],
  ])('%s, and keeps every property', (_, input) => {
    const client = buildClient(input);
    const { client_secret: _secret, ...expected } = toMetadata(client);
    expect(asProviderSees(client).metadata()).toMatchObject({ ...expected });
  });
});

describe('in the provider', () => {
  it('what the standard has no name for stands under one property', () => {
    const client = buildClient({ requireRole: 'staff', rolesClaim: { name: 'groups', prefix: 'wiki:' } });
    expect(asProviderSees(client).metadata()[GATEHOUSE_METADATA]).toMatchObject({
      require_role: 'staff',
      roles_claim: { name: 'groups', prefix: 'wiki:' },
      require_pkce: true,
    });
  });

  it('only a native client has a free port on loopback', () => {
    const redirectUris = ['http://127.0.0.1/cb', 'http://[::1]/cb'];
    const native = asProviderSees(buildClient({ redirectUris, isPublic: true }));
    expect(native.redirectUriAllowed('http://127.0.0.1:50123/cb')).toBe(true);
    expect(native.redirectUriAllowed('http://[::1]:50123/cb')).toBe(true);
    const web = asProviderSees(buildClient({ redirectUris }));
    expect(web.redirectUriAllowed('http://127.0.0.1:50123/cb')).toBe(false);
  });

  it.each([
    'http://127.0.0.1/other',
    'http://127.0.0.1:50123/cb/',
    'http://127.0.0.1:50123/cb?x=1',
    'http://127.0.0.2:50123/cb',
    'http://u@127.0.0.1:50123/cb',
    'https://127.0.0.1:50123/cb',
    'http://127.0.0.1:50123@evil.example/cb',
    'com.example.app:/cb/',
    'COM.example.app:/cb',
  ])('nothing but the port is free: %s', (uri) => {
    const redirectUris = ['http://127.0.0.1/cb', 'com.example.app:/cb'];
    expect(asProviderSees(buildClient({ redirectUris, isPublic: true })).redirectUriAllowed(uri)).toBe(false);
  });

  it.each([
    'https://app.example/cb/',
    'https://app.example/cb?x',
    'https://app.example:443/cb',
    'https://APP.example/cb',
  ])('a redirect URI is compared character by character: %s', (uri) => {
    const client = asProviderSees(
      buildClient({
        redirectUris: ['https://app.example/cb'],
        postLogoutRedirectUris: ['https://app.example/cb'],
      }),
    );
    expect(client.redirectUriAllowed('https://app.example/cb')).toBe(true);
    expect(client.redirectUriAllowed(uri)).toBe(false);
    expect(client.postLogoutRedirectUriAllowed(uri)).toBe(false);
  });

  it('the secret is a placeholder that nobody knows', () => {
    const placeholder = toMetadata(buildClient()).client_secret;
    expect(placeholder).toMatch(/^[\w-]{43}$/);
    for (const guess of ['', 'secret', 'placeholder', 'undefined']) {
      expect(asProviderSees(buildClient()).compareClientSecret(guess)).toBe(false);
    }
    expect(toMetadata(buildClient({ isPublic: true }))).not.toHaveProperty('client_secret');
  });

  it('altering the metadata does not alter the client', () => {
    const client = buildClient();
    const metadata = toMetadata(client);
    metadata.redirect_uris.push('https://evil.example/');
    metadata.grant_types.push('implicit');
    metadata[GATEHOUSE_METADATA].roles_claim.name = 'sub';
    expect(toMetadata(client)).toEqual(toMetadata(buildClient({ ...client })));
    expect(client.redirectUris).not.toContain('https://evil.example/');
  });
});
