/** Puts the exchange of tokens together; the order of its checks is in handler.ts, which says what it holds to. */
import type { AdapterPayload, Provider } from 'oidc-provider';
import type { JWK } from 'jose';

import type { RevocationList } from '../../audit/revocations.ts';
import type { Sealer } from '../../platform/seal.ts';
import { orTemporarilyUnavailable } from '../errors.ts';
import { createIsDead } from '../liveness.ts';
import type { OidcStore } from '../store/port.ts';
import type { StructuredTokens } from '../structured-tokens.ts';
import { createStanding } from './authority.ts';
import { registerTokenExchange, type TokenExchangeDependencies } from './handler.ts';
import { createIdTokenAuthority } from './id-token-authority.ts';
import { createPresentedTokens } from './presented.ts';
import type { Subject } from './subject.ts';

export interface TokenExchangeInput extends Omit<TokenExchangeDependencies, 'presented' | 'stands'> {
  issuer: string;
  /** Those that are published now. */
  keys: readonly JWK[];
  sealer: Sealer;
  store: OidcStore;
  revocations: RevocationList;
  structuredTokens: Pick<StructuredTokens, 'mark'>;
}

export interface TokenExchange {
  install: (provider: Provider) => void;
}

export function createTokenExchange(input: TokenExchangeInput): TokenExchange {
  const { issuer, keys, sealer, store, revocations, structuredTokens, clientOf, clock, apis } = input;
  const idTokens = createIdTokenAuthority({ issuer, keys, sealer, clientOf });
  const isDead = createIsDead({ revocations, clock });
  const standing = createStanding({ store, revocations, isDead });

  /** As of a token that had just been issued for it. */
  const stands = async (subject: Subject): Promise<boolean> => {
    const payload = {
      grantId: subject.grantId,
      accountId: subject.accountId,
      ...(subject.sessionUid === undefined
        ? {}
        : { sessionUid: subject.sessionUid, expiresWithSession: true }),
      iat: subject.iat,
      ...(subject.authTime === undefined ? {} : { authTime: subject.authTime }),
      exchange: {
        clientId: subject.signedInTo,
        iat: subject.iat,
        parents: subject.parents,
        ...(subject.through ? { through: subject.through } : {}),
        ...(subject.actors ? { actors: subject.actors } : {}),
      },
    };
    if (isDead('AccessToken', '', payload)) return false;
    return (await orTemporarilyUnavailable(() => standing(payload))) !== undefined;
  };

  return {
    install: (provider) => {
      idTokens.install(provider);
      const { adapter } = provider.AccessToken as unknown as {
        adapter: { find: (id: string) => Promise<AdapterPayload | undefined> };
      };
      registerTokenExchange(provider, {
        ...input,
        stands,
        presented: createPresentedTokens({
          findApi: (identifier) => orTemporarilyUnavailable(() => apis.find(identifier)),
          mark: structuredTokens.mark,
          idTokens,
          stored: (id) => adapter.find(id),
        }),
      });
    },
  };
}
