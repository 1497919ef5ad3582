/** What the access token of a refresh is for, and what of the scope is left there: for userinfo, or for one API. */
import type { Api } from '../../apis/api.ts';
import type { ApiService } from '../../apis/service.ts';
import { intersect, permittedByRoles, wordsOf } from '../entitlement.ts';
import type { ProviderAccount } from '../find-account.ts';
import { predates, standingOf } from '../former-apis.ts';
import { isKnownApi } from './api.ts';
import type { HeldGrant, HeldRefreshToken } from './held.ts';

export interface RefreshTarget {
  /** At least one. */
  scope: readonly string[];
  /** Absent: userinfo. */
  at?: {
    api: Api;
    /** Of an access token for it (RFC 9068 §2.2). */
    claims: Record<string, unknown>;
  };
}

export interface RefreshTargetInput {
  token: HeldRefreshToken;
  grant: HeldGrant;
  requested: readonly string[];
  /** The parameter `resource`. */
  resource: string | undefined;
  person: ProviderAccount;
}

/** @returns undefined where the library has to decide: nothing is left, or what is asked for is not to be had */
export async function targetOf(
  { token, grant, requested, resource, person }: RefreshTargetInput,
  apis: Pick<ApiService, 'find'>,
): Promise<RefreshTarget | undefined> {
  const identifiers = [token.resource ?? []].flat();
  const isForUserinfo = resource === undefined && (requested.includes('openid') || identifiers.length === 0);
  if (isForUserinfo) {
    const scope = grantedScope(grant, requested);
    return scope.length > 0 ? { scope } : undefined;
  }
  const identifier = resource ?? identifiers[0];
  if (identifier === undefined || !identifiers.includes(identifier)) return undefined;
  // Which of several is meant has to be said.
  if (resource === undefined && Array.isArray(token.resource)) return undefined;
  const api = await apis.find(identifier);
  if (!api || !isKnownApi(api) || predates(token.iiat ?? token.iat, api)) return undefined;
  if (!api.allowOfflineAccess && wordsOf(token.scope).includes('offline_access')) return undefined;
  const roles = await person.rolesPermitting(identifier);
  const scope = intersect(consented(grant, api), requested, permittedByRoles(api, roles));
  if (scope.length === 0) return undefined;
  const { authTime, acr, amr } = token;
  const claims = {
    permissions: scope,
    roles: roles.map(({ role }) => role),
    ...(authTime === undefined ? {} : { auth_time: authTime }),
    ...(acr === undefined ? {} : { acr }),
    ...(amr === undefined ? {} : { amr }),
  };
  return { scope, at: { api, claims } };
}

/** What of the scope the person granted, in the order in which the grant has it. */
export function grantedScope({ openid }: HeldGrant, requested: readonly string[]): string[] {
  return intersect(wordsOf(openid?.scope), requested);
}

/** What the person let the client do at the API that it is now. */
function consented({ resources, allowedAt, iat }: HeldGrant, api: Api): string[] {
  return intersect(
    wordsOf(resources?.[api.identifier]),
    standingOf(api, allowedAt?.[api.identifier] ?? iat).map(({ name }) => name),
  );
}
