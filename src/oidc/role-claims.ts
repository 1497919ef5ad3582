/**
 * How a client wants to read roles: under another name (`groups`, `realm_access.roles`, a namespaced URI), only those
 * with a prefix, or — like every granted claim — in the ID token, for relying parties that read nothing else
 * (Kubernetes, Argo CD, Vault).
 */
import type { KoaContextWithOIDC, Provider } from 'oidc-provider';

import type { Client } from '../clients/client.ts';
import { rolesClaimPath } from '../clients/roles-claim.ts';

type ClaimsResult = Record<string, unknown>;

interface ClaimsInstance {
  client: object;
}

/**
 * Installs both on a provider. The library filters claim names by a list that is fixed for all clients, so the renaming
 * comes after its filter: in `Claims.result`, which the ID token and userinfo share.
 */
export function applyRoleClaims(
  provider: Provider,
  clientOf: (providerClient: object) => Client | undefined,
): void {
  const claims = provider.Claims.prototype as { result: (this: ClaimsInstance) => Promise<ClaimsResult> };
  const { result } = claims;
  claims.result = async function renamed(this: ClaimsInstance) {
    const client = clientOf(this.client);
    const granted = await result.call(this);
    return client ? renameRoles(granted, client.rolesClaim) : granted;
  };

  const idToken = provider.IdToken.prototype as unknown as {
    issue: (this: IdTokenInstance, options: { use: string }) => Promise<string>;
  };
  const { issue } = idToken;
  idToken.issue = function issueWithAllClaims(this: IdTokenInstance, options) {
    if (options.use === 'idtoken' && this.ctx && clientOf(this.client)?.claimsInIdToken) {
      this.scope = grantedScope(this.ctx);
    }
    return issue.call(this, options);
  };
}

interface IdTokenInstance {
  client: object;
  ctx?: KoaContextWithOIDC;
  scope: string;
}

/** The scope of what is being redeemed, as far as the person granted it. */
function grantedScope(ctx: KoaContextWithOIDC): string {
  const { AuthorizationCode, RefreshToken, Grant } = ctx.oidc.entities;
  const scope = (AuthorizationCode ?? RefreshToken)?.scope ?? 'openid';
  return Grant ? Grant.getOIDCScopeFiltered(new Set(scope.split(' '))) : scope;
}

/**
 * @param claim.name a claim's name; with dots outside a URI it is a path (`realm_access.roles` nests)
 * @param claim.prefix only roles that begin with it are told
 */
export function renameRoles(claims: ClaimsResult, claim: { name: string; prefix?: string }): ClaimsResult {
  if (!Array.isArray(claims['roles'])) return claims;
  const { roles, ...rest } = claims;
  const told = (roles as string[]).filter((role) => role.startsWith(claim.prefix ?? ''));
  return nest(rest, rolesClaimPath(claim.name), told);
}

function nest(target: ClaimsResult, [head, ...tail]: string[], value: unknown): ClaimsResult {
  if (head === undefined) return target;
  const inner = (target[head] ?? {}) as ClaimsResult;
  return { ...target, [head]: tail.length === 0 ? value : nest(inner, tail, value) };
}
