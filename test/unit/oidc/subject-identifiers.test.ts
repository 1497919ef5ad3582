import { expect, it } from '@jest/globals';
import type { KoaContextWithOIDC } from 'oidc-provider';

import type { Client } from '../../../src/clients/client.ts';
import { createSubjectIdentifiers, createSubjectOf } from '../../../src/oidc/subject-identifiers.ts';

const shop = {
  subjectType: 'pairwise',
  redirectUris: ['https://shop.example/callback'],
} as unknown as Client;
const open = { redirectUris: ['https://open.example/callback'] } as unknown as Client;

const identifiers = createSubjectIdentifiers({
  pairwiseSubjects: {
    find: async () => 'told',
    resolve: async (told, sector) => (told === 'told' && sector === 'shop.example' ? 'own' : undefined),
    list: async () => [],
    importSubject: async () => {
      throw new Error('not here');
    },
  },
  findClient: async () => undefined,
});

/** What a sector calls one person may be the `sub` of another, for both can be imported. */
it.each<[string, string, Client, boolean, string | undefined]>([
  ['the hint of a backchannel request is of the sector', 'told', shop, true, 'own'],
  ['and names nobody by the public identifier', 'own', shop, true, undefined],
  ['the hint of a public client is what it says', 'own', open, true, 'own'],
  ['without a hint the identifier is the account’s own', 'told', shop, false, 'told'],
])('%s', async (_, sub, client, hasHint, expected) => {
  const ctx = {
    oidc: {
      route: 'backchannel_authentication',
      client: {},
      entities: hasHint ? { IdTokenHint: {} } : {},
    },
  } as unknown as KoaContextWithOIDC;
  expect(await createSubjectOf(identifiers, () => client)(ctx, sub)).toBe(expected);
});
