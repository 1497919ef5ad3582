import { describe, expect, it } from '@jest/globals';

import { renameRoles } from '../../../src/oidc/role-claims.ts';

const claims = { sub: 'ada', roles: ['wiki:editor', 'wiki:admin', 'billing'] };

describe('roles under a client’s own name', () => {
  it.each([
    ['their own name', { name: 'roles' }, { sub: 'ada', roles: claims.roles }],
    ['another name', { name: 'groups' }, { sub: 'ada', groups: claims.roles }],
    ['a path, nested', { name: 'realm_access.roles' }, { sub: 'ada', realm_access: { roles: claims.roles } }],
    [
      'a namespaced URI, which is one name',
      { name: 'https://example.com/claims/roles' },
      { sub: 'ada', 'https://example.com/claims/roles': claims.roles },
    ],
    [
      'a prefix, which leaves the others out',
      { name: 'groups', prefix: 'wiki:' },
      { sub: 'ada', groups: ['wiki:editor', 'wiki:admin'] },
    ],
    ['a prefix that nothing has', { name: 'groups', prefix: 'none:' }, { sub: 'ada', groups: [] }],
  ])('appear under %s', (_, claim, expected) => {
    expect(renameRoles(claims, claim)).toEqual(expected);
  });

  it('are not invented where the scope was not granted', () => {
    expect(renameRoles({ sub: 'ada' }, { name: 'groups' })).toEqual({ sub: 'ada' });
  });
});
