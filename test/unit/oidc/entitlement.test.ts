import { describe, expect, it } from '@jest/globals';

import {
  accessTokenSeconds,
  intersect,
  narrowRequest,
  permittedByRoles,
  permittedToClient,
  wordsOf,
} from '../../../src/oidc/entitlement.ts';

const OIDC_SCOPES = new Set(['openid', 'email', 'offline_access']);
const api = (names: string, allowOfflineAccess = true) => ({
  permissions: wordsOf(names).map((name) => ({ name, description: name, createdAt: new Date(0) })),
  allowOfflineAccess,
});

describe('what a person may do at an API', () => {
  it.each([
    ['nothing without a role', 'read write', [], ''],
    ['what a role carries', 'read write', ['read'], 'read'],
    ['what several carry together', 'read write audit', ['read', 'write read'], 'read write'],
    ['nothing that the API does not have', 'read', ['read destroy'], 'read'],
  ])('is %s', (_name, has, roles, expected) => {
    const carried = roles.map((permissions) => ({ permissions: wordsOf(permissions) }));
    expect(permittedByRoles(api(has), carried)).toEqual(wordsOf(expected));
  });

  it('is, for a client of its own, what the client has of it', () => {
    expect(permittedToClient(api('read write'), ['write', 'destroy'])).toEqual(['write']);
  });
});

describe('a request', () => {
  it.each([
    ['keeps what is known', 'openid read', [api('read write')], 'openid read'],
    ['loses what nobody knows', 'openid read destroy roles', [api('read')], 'openid read'],
    ['keeps what any of its APIs has', 'read audit', [api('read'), api('audit')], 'read audit'],
    ['keeps access while away', 'openid offline_access read', [api('read')], 'openid offline_access read'],
    ['loses it where one API forbids it', 'offline_access read', [api('read'), api('x', false)], 'read'],
  ])('%s: %s', (_name, requested, apis, expected) => {
    const narrowed = narrowRequest({ requested: wordsOf(requested), oidcScopes: OIDC_SCOPES, apis });
    expect(narrowed).toEqual({ kind: 'narrowed', scopes: wordsOf(expected) });
  });

  it.each([
    ['asks for nothing', ''],
    ['asks for what is not the API’s', 'openid email'],
    ['asks for what another API has', 'audit'],
  ])('is for nothing when it %s', (_name, requested) => {
    expect(
      narrowRequest({ requested: wordsOf(requested), oidcScopes: OIDC_SCOPES, apis: [api('read')] }),
    ).toEqual({ kind: 'nothing' });
  });

  it('is narrowed as ever when it asks for something in other words', () => {
    const apis = [{ ...api('read'), allowOfflineAccess: false }];
    const requested = wordsOf('openid offline_access audit');
    expect(narrowRequest({ requested, oidcScopes: OIDC_SCOPES, apis, hasDetails: true })).toEqual({
      kind: 'narrowed',
      scopes: ['openid'],
    });
  });
});

it.each([
  ['a b c', ['b c', 'c b d'], 'b c'],
  ['a a b', ['a'], 'a'],
  ['a', [''], ''],
])('%s held against %j leaves %s', (requested, limits, expected) => {
  expect(intersect(wordsOf(requested), ...limits.map(wordsOf))).toEqual(wordsOf(expected));
});

it.each([
  [600, [], 600],
  [600, [undefined, undefined], 600],
  [600, [900, undefined], 900],
  [600, [900, 300], 300],
])('a token lives %d seconds, or %j: %d', (configured, set, expected) => {
  expect(accessTokenSeconds(configured, ...set)).toBe(expected);
});
