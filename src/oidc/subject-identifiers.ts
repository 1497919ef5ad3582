/**
 * Who a person is to a client: by their own `sub`, or by one of the client's sector (OIDC Core §8). Inside, everything
 * goes by the account's own `sub` (sessions, grants, revocations); only what is told to a client goes through here, and
 * what a client tells comes back through here.
 *
 * An access token tells the `sub` of the client that it was issued to, also to its API and at introspection: a client can
 * read its JWTs, and two clients of different sectors must not find out there that they know the same person.
 */
import type { KoaContextWithOIDC } from 'oidc-provider';

import type { PairwiseSubjects } from '../accounts/pairwise-subjects.ts';
import type { Client } from '../clients/client.ts';
import { sectorOf } from '../clients/pairwise.ts';
import { AppError } from '../platform/errors.ts';
import { orTemporarilyUnavailable } from './errors.ts';

export interface SubjectIdentifiers {
  /** What the client knows the person by. @param sub the account's own. @throws AppError `account_not_found` (404) */
  tell: (client: Client, sub: string) => Promise<string>;
  /** The same by the client's id; undefined where the client or the account is gone. */
  tellById: (clientId: string, sub: string) => Promise<string | undefined>;
  /**
   * The account's own `sub`, from what a client calls a person (an `id_token_hint`): undefined where the client knows
   * nobody by that. It says nothing about whether there still is such an account.
   */
  resolve: (client: Client, told: string) => Promise<string | undefined>;
}

export function createSubjectIdentifiers({
  pairwiseSubjects: subjects,
  findClient,
}: {
  pairwiseSubjects: PairwiseSubjects;
  findClient: (clientId: string) => Promise<Client | undefined>;
}): SubjectIdentifiers {
  const tell: SubjectIdentifiers['tell'] = async (client, sub) => {
    const sector = sectorOf(client);
    return sector === undefined ? sub : subjects.find(sub, sector);
  };
  return {
    tell,
    tellById: async (clientId, sub) => {
      const client = await findClient(clientId);
      if (!client) return undefined;
      return tell(client, sub).catch((error: unknown) => {
        if (error instanceof AppError && error.code === 'account_not_found') return undefined;
        throw error;
      });
    },
    resolve: async (client, told) => {
      const sector = sectorOf(client);
      return sector === undefined ? told : subjects.resolve(told, sector);
    },
  };
}

/**
 * From what the library looks for to the account's own `sub`: they are the same, but for the `id_token_hint` of a
 * backchannel request (OIDC CIBA 1.0 §7.1), of which the library takes the `sub` as it stands. What a sector calls one
 * person may be another's own `sub`, for both can be imported.
 */
export function createSubjectOf(
  { resolve }: SubjectIdentifiers,
  clientOf: (providerClient: object) => Client | undefined,
) {
  return async ({ oidc }: KoaContextWithOIDC, sub: string): Promise<string | undefined> => {
    if (oidc.route !== 'backchannel_authentication' || !oidc.entities.IdTokenHint) return sub;
    const client = oidc.client && clientOf(oidc.client);
    return client && orTemporarilyUnavailable(() => resolve(client, sub));
  };
}

/** oidc-provider's `pairwiseIdentifier`, called for clients whose `subject_type` is pairwise. */
export function createPairwiseIdentifier(
  { tell }: SubjectIdentifiers,
  clientOf: (providerClient: object) => Client | undefined,
) {
  return (_ctx: KoaContextWithOIDC, sub: string, providerClient: object): Promise<string> =>
    orTemporarilyUnavailable(async () => {
      const client = clientOf(providerClient);
      if (!client) throw new Error('a pairwise identifier for a client that nobody found');
      return tell(client, sub);
    });
}
