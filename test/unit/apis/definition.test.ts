import { describe, expect, it } from '@jest/globals';

import {
  changeApi,
  changedProperties,
  checkIdentifier,
  checkPermission,
  defineApi,
} from '../../../src/apis/definition.ts';

describe('an identifier', () => {
  it.each([
    'https://api.example.com',
    'https://api.example.com/v1/',
    'https://api.example.com?tenant=a',
    'urn:example:ledger',
    'api://ledger',
    'http://localhost:3000',
  ])('may be %s', (identifier) => {
    expect(() => checkIdentifier(identifier)).not.toThrow();
  });

  it.each([
    ['without a scheme', 'api.example.com'],
    ['relative', '/v1'],
    ['with a fragment', 'https://api.example.com#x'],
    ['with an empty fragment', 'https://api.example.com#'],
    ['with a space', 'https://api.example.com/a b'],
    ['with a quote', 'https://api.example.com/"'],
    ['with a backslash', 'https://api.example.com/\\'],
    ['with a line break', 'https://api.example.com\n'],
    ['with letters beyond ASCII', 'https://äpi.example'],
    ['with a password', 'https://a:b@api.example.com'],
    ['empty', ''],
    ['too long', `https://api.example.com/${'x'.repeat(500)}`],
  ])('is refused %s', (_name, identifier) => {
    expect(() => checkIdentifier(identifier)).toThrow(expect.objectContaining({ code: 'invalid_api' }));
  });
});

describe('a permission', () => {
  it.each(['read', 'invoices:read', 'https://api.example/read', '!', '~', '#', 'a'.repeat(128)])(
    'may be called %s',
    (name) => {
      expect(checkPermission({ name, description: ' See\u0301 it ' })).toEqual({
        name,
        description: 'Seé it',
      });
    },
  );

  it.each([
    ['empty', ''],
    ['with a space', 'read write'],
    ['with a quote', 'read"'],
    ['with a backslash', 'read\\'],
    ['beyond ASCII', 'lesé'],
    ['with a control character', 'read\u007f'],
    ['too long', 'a'.repeat(129)],
    ...['openid', 'profile', 'email', 'address', 'phone', 'roles', 'offline_access'].map((name) => [
      'that is a scope of OpenID Connect',
      name,
    ]),
  ])('is refused %s: %s', (_name, name) => {
    expect(() => checkPermission({ name, description: 'x' })).toThrow(
      expect.objectContaining({ code: 'invalid_permission' }),
    );
  });

  it.each([
    ['nothing', ' '],
    ['a line break', 'See\nit'],
    ['what turns the line round', 'See \u202eit'],
    ['too much', 'x'.repeat(201)],
  ])('is refused when it is described by %s', (_name, description) => {
    expect(() => checkPermission({ name: 'read', description })).toThrow(
      expect.objectContaining({ code: 'invalid_permission' }),
    );
  });
});

describe('a definition', () => {
  it('is a JWT’s, signed by what everybody accepts, and ends with the session, unless it says otherwise', () => {
    expect(defineApi({ name: ' Ledger ' })).toEqual({
      name: 'Ledger',
      accessTokenFormat: 'jwt',
      signingAlg: 'RS256',
      allowOfflineAccess: false,
    });
  });

  it.each([
    { name: '' },
    { name: 'x'.repeat(101) },
    { name: 'Led\u200bger' },
    { name: 'Ledger', accessTokenTtlSeconds: 29 },
    { name: 'Ledger', accessTokenTtlSeconds: 86_401 },
    { name: 'Ledger', accessTokenTtlSeconds: 60.5 },
    { name: 'Ledger', signingAlg: 'HS256' as 'RS256' },
    { name: 'Ledger', signingAlg: 'none' as 'RS256' },
    { name: 'Ledger', accessTokenFormat: 'paseto' as 'jwt' },
  ])('is refused: %j', (input) => {
    expect(() => defineApi(input)).toThrow(expect.objectContaining({ code: 'invalid_api' }));
  });

  it('changes by what is given, and null takes back', () => {
    const before = defineApi({ name: 'Ledger', accessTokenTtlSeconds: 60, clientId: 'ledger' });
    const after = changeApi(before, { accessTokenTtlSeconds: null, signingAlg: 'EdDSA', name: undefined });
    expect(after).toEqual({ ...defineApi({ name: 'Ledger', clientId: 'ledger' }), signingAlg: 'EdDSA' });
    expect(changedProperties(before, after)).toEqual(['accessTokenTtlSeconds', 'signingAlg']);
  });
});
