/**
 * A client that nobody vouched for can be registered for the sake of its redirect URI: a broken authorization request
 * would then lead people from our address to a stranger's page without a word (RFC 9700 §4.11.2). Until a person has
 * signed in, such a request is refused on a page of ours.
 */
import type { KoaContextWithOIDC, Provider } from 'oidc-provider';

import type { Client } from '../clients/client.ts';

export function keepStrangersHere(
  provider: Provider,
  clientOf: (providerClient: object) => Client | undefined,
): void {
  // The library looks at `allow_redirect` when every listener has been told.
  provider.on('authorization.error', (ctx, error) => {
    if (isFromStranger(ctx, clientOf)) Object.assign(error, { allow_redirect: false });
  });
}

function isFromStranger(
  { oidc }: KoaContextWithOIDC,
  clientOf: (providerClient: object) => Client | undefined,
): boolean {
  const client = oidc.client && clientOf(oidc.client);
  if (client?.origin === undefined || oidc.session?.accountId !== undefined) return false;
  // RFC 9700 §4.11.2 lets a silent request be answered: it is asked from a frame, where no page would be seen.
  return oidc.params?.['prompt'] !== 'none';
}
