import { describe, expect, it } from '@jest/globals';

import type { Account } from '../../../src/accounts/account.ts';
import { accountClaims } from '../../../src/accounts/claims.ts';

const account: Account = {
  id: '0190a1b2-0000-7000-8000-000000000001',
  sub: 'sub-1',
  email: 'Ada@example.org',
  emailVerified: true,
  username: 'ada',
  name: 'Ada Lovelace',
  hasPassword: true,
  createdAt: new Date('2026-01-01T00:00:00Z'),
  updatedAt: new Date('2026-01-02T00:00:00.900Z'),
};

describe('claims about an account', () => {
  it.each([
    ['openid', { sub: 'sub-1' }],
    [
      'openid profile',
      { sub: 'sub-1', name: 'Ada Lovelace', preferred_username: 'ada', updated_at: 1767312000 },
    ],
    ['openid email', { sub: 'sub-1', email: 'Ada@example.org', email_verified: true }],
    ['openid roles', { sub: 'sub-1', roles: ['admin', 'editor'] }],
    ['openid offline_access', { sub: 'sub-1' }],
  ])('under the scope %j are exactly these', (scope, expected) => {
    const claims = accountClaims({ account, roles: ['editor', 'admin'], scopes: new Set(scope.split(' ')) });
    expect(claims).toEqual(expected);
  });

  it('leave out what the account does not have', () => {
    const { username: _username, name: _name, ...bare } = account;
    const claims = accountClaims({ account: bare, roles: [], scopes: new Set(['profile', 'roles']) });
    expect(claims).toEqual({ sub: 'sub-1', updated_at: 1767312000, roles: [] });
  });
});
