import { describe, expect, it } from '@jest/globals';

import { adviceOn } from '../../../src/clients/advice.ts';
import { DEVICE_CODE_GRANT } from '../../../src/clients/client.ts';
import {
  changeDefinition,
  changedProperties,
  defineClient,
  type DefinitionChanges,
  type DefinitionInput,
} from '../../../src/clients/definition.ts';
import { buildClient } from '../../support/factories/client.ts';

const WEB = { name: 'Wiki', redirectUris: ['https://wiki.example/cb'] };
const SPA = { name: 'Board', redirectUris: ['https://board.example/cb'], isPublic: true };
const RSA_KEY = { kty: 'RSA', e: 'AQAB', n: Buffer.alloc(256, 0xff).toString('base64url') };
const JWKS = { keys: [RSA_KEY] };

describe('what is left out of a new client', () => {
  it.each<[string, Partial<DefinitionInput>, object]>([
    ['no redirect URI', {}, { kind: 'machine', grantTypes: ['client_credentials'], scopes: [] }],
    [
      'a redirect URI',
      { redirectUris: WEB.redirectUris },
      {
        kind: 'web',
        authMethod: 'client_secret_basic',
        grantTypes: ['authorization_code', 'refresh_token'],
        scopes: ['openid', 'profile', 'email', 'roles', 'offline_access'],
        requirePkce: true,
        consent: 'once',
        idTokenAlg: 'RS256',
        rolesClaim: { name: 'roles' },
        allowedOrigins: [],
      },
    ],
    ['first party', { redirectUris: WEB.redirectUris, firstParty: true }, { kind: 'web', consent: 'never' }],
    [
      'public, on https',
      { redirectUris: SPA.redirectUris, isPublic: true },
      { kind: 'browser', authMethod: 'none', allowedOrigins: ['https://board.example'] },
    ],
    [
      'public, on localhost',
      { redirectUris: ['http://localhost:5173/cb'], isPublic: true },
      { kind: 'browser', allowedOrigins: ['http://localhost:5173'] },
    ],
    ['public, on loopback', { redirectUris: ['http://127.0.0.1/cb'], isPublic: true }, { kind: 'native' }],
    [
      'public, with a private-use scheme',
      { redirectUris: ['https://app.example/cb', 'com.example.app:/cb'], isPublic: true },
      { kind: 'native', authMethod: 'none' },
    ],
    ['authMethod none', { redirectUris: SPA.redirectUris, authMethod: 'none' }, { kind: 'browser' }],
    [
      'a device code, which needs no redirect URI',
      { grantTypes: [DEVICE_CODE_GRANT, 'refresh_token'] },
      {
        kind: 'native',
        authMethod: 'none',
        redirectUris: [],
        scopes: ['openid', 'profile', 'email', 'roles', 'offline_access'],
      },
    ],
    [
      'a device code, of something that keeps a secret',
      { grantTypes: [DEVICE_CODE_GRANT], authMethod: 'client_secret_basic' },
      { kind: 'web', authMethod: 'client_secret_basic' },
    ],
    [
      'no refresh tokens',
      { redirectUris: WEB.redirectUris, grantTypes: ['authorization_code'] },
      { scopes: ['openid', 'profile', 'email', 'roles'] },
    ],
  ])('follows from the rest: %s', (_, input, expected) => {
    expect(defineClient({ name: 'Client', ...input })).toMatchObject(expected);
  });
});

describe('a client that would be weaker than the standards allow is refused', () => {
  it.each<[string, Partial<DefinitionInput>, RegExp]>([
    ['an empty name', { ...WEB, name: '  ' }, /name/],
    ['a name that turns text round', { ...WEB, name: 'Wiki\u202Eknab' }, /name/],
    ['a name with a line break', { ...WEB, name: 'Wiki\nBank' }, /name/],
    ['public without PKCE', { ...SPA, requirePkce: false }, /PKCE/],
    [
      'public with client_credentials',
      { ...SPA, grantTypes: ['authorization_code', 'client_credentials'] },
      /public/,
    ],
    ['public without a redirect URI', { isPublic: true }, /redirect URI/],
    ['public with a secret', { ...SPA, authMethod: 'client_secret_post' }, /is public/],
    ['a web client that is public', { ...SPA, kind: 'web' }, /is confidential/],
    [
      'native with a secret',
      { ...WEB, kind: 'native', authMethod: 'client_secret_basic' },
      /cannot keep a secret/,
    ],
    ['web without authentication', { ...WEB, kind: 'web', authMethod: 'none' }, /must authenticate/],
    ['machine with a redirect URI', { ...WEB, kind: 'machine' }, /machine/],
    ['machine with authorization_code', { grantTypes: ['authorization_code'] }, /client_credentials/],
    [
      'machine with refresh tokens',
      { grantTypes: ['client_credentials', 'refresh_token'] },
      /client_credentials/,
    ],
    ['machine that asks for people', { scopes: ['openid'] }, /people/],
    ['refresh tokens from nowhere', { ...WEB, grantTypes: ['refresh_token'] }, /needs authorization_code/],
    [
      'redirect URIs for a device',
      { ...SPA, grantTypes: [DEVICE_CODE_GRANT] },
      /needs the grant type authorization_code/,
    ],
    [
      'a machine with a device code',
      { kind: 'machine', grantTypes: ['client_credentials', DEVICE_CODE_GRANT] },
      /acts for itself/,
    ],
    [
      'a device that has no redirect URI for its codes',
      { grantTypes: ['authorization_code', DEVICE_CODE_GRANT] },
      /redirect URI/,
    ],
    ['redirect URIs for nothing', { ...WEB, grantTypes: ['client_credentials'] }, /authorization_code/],
    ['no grant at all', { ...WEB, grantTypes: [] }, /authorization_code/],
    ['web without a redirect URI', { kind: 'web' }, /redirect URI/],
    [
      'offline_access without refresh tokens',
      { ...WEB, grantTypes: ['authorization_code'], scopes: ['openid', 'offline_access'] },
      /offline_access/,
    ],
    ['the implicit grant', { ...WEB, grantTypes: ['implicit' as never] }, /"implicit" is no grant type/],
    ['the password grant', { ...WEB, grantTypes: ['password' as never] }, /is no grant type/],
    [
      'assertions by shared secret',
      { ...WEB, authMethod: 'client_secret_jwt' as never },
      /client_secret_jwt/,
    ],
    ['an ID token signed by a shared secret', { ...WEB, idTokenAlg: 'HS256' as never }, /HS256/],
    ['an unsigned ID token', { ...WEB, idTokenAlg: 'none' as never }, /"none" is no ID token algorithm/],
    ['an unknown scope', { ...WEB, scopes: ['openid', 'everything'] }, /"everything" is no scope/],
    ['a default_max_age before now', { ...WEB, defaultMaxAge: -1 }, /default_max_age/],
    ['an unknown default_acr_values', { ...WEB, defaultAcrValues: ['aal9' as never] }, /default_acr_values/],
    ['third party without consent', { ...WEB, consent: 'never' }, /first-party/],
    ['private_key_jwt without keys', { ...WEB, authMethod: 'private_key_jwt' }, /jwks/],
    [
      'private_key_jwt with keys at two places',
      { ...WEB, authMethod: 'private_key_jwt', jwks: JWKS, jwksUri: 'https://wiki.example/jwks' },
      /one of jwks and jwks_uri/,
    ],
    [
      'an algorithm of assertions beside a secret',
      { ...WEB, tokenEndpointAuthSigningAlg: 'ES256' },
      /private_key_jwt/,
    ],
    ['keys beside a secret', { ...WEB, jwks: JWKS }, /private_key_jwt/],
    [
      'keys over plain http',
      { ...WEB, authMethod: 'private_key_jwt', jwksUri: 'http://wiki.example/jwks' },
      /https/,
    ],
    ['a post-logout wildcard', { ...WEB, postLogoutRedirectUris: ['https://wiki.example/*'] }, /wildcard/],
    ['post-logout over http', { ...WEB, postLogoutRedirectUris: ['http://wiki.example/'] }, /https/],
    ['a client_uri of script', { ...WEB, clientUri: 'javascript:alert(1)' }, /client_uri/],
    ['initiate_login over http', { ...WEB, initiateLoginUri: 'http://wiki.example/' }, /initiate_login_uri/],
    ['CORS for a web client', { ...WEB, allowedOrigins: ['https://wiki.example'] }, /browser clients/],
    ['CORS for everybody', { ...SPA, allowedOrigins: ['*'] }, /refused/],
    ['roles in place of the subject', { ...WEB, rolesClaim: { name: 'sub' } }, /standard claim/],
    ['roles in the prototype', { ...WEB, rolesClaim: { name: '__proto__.x' } }, /another name/],
    ['a role that cannot exist', { ...WEB, requireRole: 'Not A Role' }, /role/],
    ['eternal access tokens', { ...WEB, accessTokenTtlSeconds: 1e9 }, /30 to 86400/],
    ['a contact that is no address', { ...WEB, contacts: ['somebody'] }, /e-mail/],
  ])('%s', (_, input, advice) => {
    const define = (): unknown => defineClient({ name: 'Client', ...input });
    expect(define).toThrow(advice);
    expect(define).toThrow(expect.objectContaining({ status: 400 }));
  });
});

describe('a change of a client', () => {
  it.each<[string, DefinitionInput, DefinitionChanges, RegExp]>([
    ['lifts PKCE of a public client', SPA, { requirePkce: false }, /PKCE/],
    ['makes a web client public', WEB, { authMethod: 'none' }, /must authenticate/],
    ['takes the last redirect URI away', WEB, { redirectUris: [] }, /redirect URI/],
    ['adds a wildcard', WEB, { redirectUris: ['https://*.example/'] }, /wildcard/],
  ])('that %s is refused', (_, input, changes, advice) => {
    expect(() => changeDefinition(defineClient(input), changes)).toThrow(advice);
  });

  it('leaves what it does not name, and clears what it sets to null', () => {
    const before = defineClient({ ...WEB, requireRole: 'staff', clientUri: 'https://wiki.example/' });
    const after = changeDefinition(before, { requireRole: null, requirePkce: false, name: undefined });
    expect(after).toEqual({ ...before, requirePkce: false, requireRole: undefined });
    expect('requireRole' in after).toBe(false);
    expect(changedProperties(before, after)).toEqual(['requirePkce', 'requireRole']);
  });

  it('moves the origins that follow from the redirect URIs with them', () => {
    const moved = changeDefinition(defineClient(SPA), { redirectUris: ['https://new.example/cb'] });
    expect(moved.allowedOrigins).toEqual(['https://new.example']);
  });

  it('leaves origins that were given alone', () => {
    const given = defineClient({ ...SPA, allowedOrigins: ['https://cdn.example'] });
    const moved = changeDefinition(given, { redirectUris: ['https://new.example/cb'] });
    expect(moved.allowedOrigins).toEqual(['https://cdn.example']);
  });
});

describe('advice on a client', () => {
  it.each<[string, Partial<DefinitionInput>, RegExp | undefined]>([
    ['none for an ordinary one', {}, undefined],
    ['PKCE that was lifted', { requirePkce: false }, /PKCE/],
    ['localhost', { redirectUris: ['http://localhost:1/'] }, /localhost/],
    ['loopback in a web client', { redirectUris: ['http://127.0.0.1:1/'] }, /development/],
    [
      'none for loopback in a native client',
      { redirectUris: ['http://127.0.0.1/'], isPublic: true },
      undefined,
    ],
  ])('%s', (_, input, expected) => {
    const advice = adviceOn(buildClient(input));
    expect(advice).toEqual(expected ? [expect.stringMatching(expected)] : []);
  });
});
