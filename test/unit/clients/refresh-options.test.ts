import { describe, expect, it } from '@jest/globals';

import { defineClient, type DefinitionInput } from '../../../src/clients/definition.ts';
import { rotatesRefreshToken, type RotationSubject } from '../../../src/clients/refresh-options.ts';

const WEB = { name: 'Wiki', redirectUris: ['https://wiki.example/cb'] };
const CONFIDENTIAL: RotationSubject = { authMethod: 'private_key_jwt', dpopBoundAccessTokens: true };
const PUBLIC: RotationSubject = { authMethod: 'none', dpopBoundAccessTokens: true };

describe('a refresh token', () => {
  it.each<[string, RotationSubject, boolean, boolean]>([
    ['of a client that did not ask otherwise', CONFIDENTIAL, true, true],
    ['of a bound client that keeps them', { ...CONFIDENTIAL, rotateRefreshTokens: false }, false, false],
    ['of a client with a profile', { ...CONFIDENTIAL, profile: 'fapi2' }, false, false],
    [
      'of one bound to a certificate',
      {
        ...CONFIDENTIAL,
        dpopBoundAccessTokens: false,
        tlsClientCertificateBoundAccessTokens: true,
        profile: 'fapi2',
      },
      false,
      false,
    ],
    [
      'of a client that is not bound any more',
      { ...CONFIDENTIAL, dpopBoundAccessTokens: false, rotateRefreshTokens: false },
      false,
      true,
    ],
    ['of a public client, bound to its key', { ...PUBLIC, rotateRefreshTokens: false }, true, false],
    ['of a public client, from before it was bound', { ...PUBLIC, rotateRefreshTokens: false }, false, true],
  ])('%s rotates or not', (_name, client, isBound, rotates) => {
    expect(rotatesRefreshToken(client, { isSenderConstrained: () => isBound })).toBe(rotates);
  });
});

describe('a definition is refused', () => {
  it.each<[string, Partial<DefinitionInput>, RegExp]>([
    ['that keeps refresh tokens of bearers', { rotateRefreshTokens: false }, /bound to a DPoP key/],
    [
      'whose refresh tokens lie longer than they live',
      { refreshTokenIdleSeconds: 7_200, refreshTokenAbsoluteSeconds: 3_600 },
      /lie unused/,
    ],
    ['whose refresh tokens live for a moment', { refreshTokenIdleSeconds: 1 }, /refresh_token_idle_seconds/],
    [
      'that says how long it has what it does not get',
      { grantTypes: ['authorization_code'], refreshTokenIdleSeconds: 3_600 },
      /grant type refresh_token/,
    ],
  ])('%s', (_name, input, message) => {
    expect(() => defineClient({ ...WEB, ...input })).toThrow(message);
  });
});
