/** The ID token of a refresh (OIDC Core §12.2), as the library makes it. */
import type { Client } from '../../clients/client.ts';
import { CLAIMS_OF_OPENID, CLAIMS_OF_SCOPE } from '../claims-parameter.ts';
import type { ProviderAccount } from '../find-account.ts';
import { renameRoles } from '../role-claims.ts';
import type { HeldRefreshToken } from './held.ts';

export interface IdTokenInput {
  issuer: string;
  client: Client;
  person: ProviderAccount;
  /** What is being redeemed. */
  source: HeldRefreshToken;
  /** The scope of the request. */
  requested: readonly string[];
  /** The scope whose claims the client is told here, and not only at userinfo. */
  told: readonly string[];
  issuedAt: number;
  lifeSeconds: number;
}

export async function idTokenClaims({
  issuer,
  client,
  person,
  source,
  requested,
  told,
  issuedAt,
  lifeSeconds,
}: IdTokenInput): Promise<Record<string, unknown>> {
  const { acr, amr, authTime, nonce, sid } = source;
  const available: Record<string, unknown> = {
    ...(await person.claims('id_token', requested.join(' '))),
    sub: person.accountId,
    acr,
    amr,
    auth_time: authTime,
  };
  const names = new Set(told.flatMap((scope) => CLAIMS_BY_SCOPE[scope] ?? []));
  const granted = Object.fromEntries(
    [...names].filter((name) => available[name] !== undefined).map((name) => [name, available[name]]),
  );
  return {
    ...renameRoles(granted, client.rolesClaim),
    ...(nonce === undefined ? {} : { nonce }),
    ...(sid === undefined ? {} : { sid }),
    aud: client.clientId,
    exp: issuedAt + lifeSeconds,
    iat: issuedAt,
    iss: issuer,
  };
}

const CLAIMS_BY_SCOPE: Readonly<Record<string, readonly string[]>> = {
  openid: CLAIMS_OF_OPENID,
  ...CLAIMS_OF_SCOPE,
};
