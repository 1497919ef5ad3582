/**
 * The `claims` parameter (OIDC Core §5.5): single claims by name, for the ID token or for userinfo, and how people must
 * have signed in (`acr`). What a client may not ask for by scope it may not ask for by name either: such claims are
 * passed over, as §5.5.1 has it for whatever cannot be told. People are asked for those that no scope of the same
 * request covers (policy.ts, grants.ts).
 */
import { type Configuration, errors, type KoaContextWithOIDC } from 'oidc-provider';
import { z } from 'zod';

import type { Client } from '../clients/client.ts';
import { ACR_ONE_FACTOR, ACR_TWO_FACTORS } from './requirements.ts';

type AssertClaims = NonNullable<
  NonNullable<NonNullable<Configuration['features']>['claimsParameter']>['assertClaimsParameter']
>;

/** Those of `openid` reach the ID token as well as userinfo (find-account.ts tells `roles` only with its scope). */
export const CLAIMS_OF_OPENID = ['sub', 'roles', 'amr', 'acr', 'auth_time'] as const;

/** What each scope lets a client know (OIDC Core §5.4); `roles` is ours. */
export const CLAIMS_OF_SCOPE = {
  profile: ['name', 'preferred_username', 'updated_at'],
  email: ['email', 'email_verified'],
  roles: ['roles'],
} as const;

/** About the sign-in itself: told without asking. */
const ABOUT_SIGN_IN: ReadonlySet<string> = new Set(['sub', 'sid', 'auth_time', 'acr', 'amr', 'iss']);

const SCOPE_OF_CLAIM: ReadonlyMap<string, string> = new Map(
  Object.entries(CLAIMS_OF_SCOPE).flatMap(([scope, claims]) =>
    claims.map((claim) => [claim, scope] as const),
  ),
);

const simple = z.union([z.string(), z.number(), z.boolean()]);
/** Of §5.5.1, and nothing else: a request may hold anything, nested as deep as it likes. */
const claimRequest = z
  .object({
    essential: z.boolean().optional().catch(undefined),
    value: simple.optional().catch(undefined),
    values: z.array(simple).optional().catch(undefined),
  })
  .nullable();
const acrRequest = z
  .looseObject({
    essential: z.boolean().optional(),
    value: z.string().optional(),
    values: z.array(z.string()).optional(),
  })
  .nullable();

/** What a request asks for as `acr` (§5.5.1.1). */
export interface RequestedAcr {
  /** Without one of these there is no answer; absent where it is but a wish. */
  essential?: readonly string[];
  /** In order of preference. */
  preferred: readonly string[];
}

/**
 * Leaves of a request what the client may ask for.
 *
 * @throws InvalidRequest where `acr` is not asked for as §5.5.1 says
 * @throws CustomOIDCProviderError `unmet_authentication_requirements` where an essential `acr` is none of ours
 */
export function createAssertClaims(clientOf: (providerClient: object) => Client | undefined): AssertClaims {
  return (ctx, claims, client) => {
    const { params } = ctx.oidc;
    if (!params) return;
    const scopes = clientOf(client)?.scopes ?? [];
    const asked = claims as Record<'userinfo' | 'id_token', Record<string, unknown> | undefined>;
    const { essential } = readAcr(asked.id_token?.['acr']);
    if (essential && !essential.some((acr) => acr === ACR_ONE_FACTOR || acr === ACR_TWO_FACTORS)) {
      throw new errors.CustomOIDCProviderError(
        'unmet_authentication_requirements',
        'none of the essential acr values can be reached here',
      );
    }
    params['claims'] = JSON.stringify({
      ...(asked.userinfo && { userinfo: allowed(asked.userinfo, scopes) }),
      ...(asked.id_token && { id_token: allowed(asked.id_token, scopes) }),
    });
  };
}

/** The claims of people that a request names, once each. */
export function requestedClaims({ oidc }: KoaContextWithOIDC): string[] {
  return [...oidc.requestParamClaims].filter((claim) => SCOPE_OF_CLAIM.has(claim));
}

/** Those of them that none of the scopes covers. */
export function beyondScopes(claims: readonly string[], scopes: readonly string[]): string[] {
  return claims.filter((claim) => !scopes.includes(SCOPE_OF_CLAIM.get(claim) ?? ''));
}

/** The scopes that those claims belong to. */
export function scopesOf(claims: readonly string[]): string[] {
  return [
    ...new Set(claims.map((claim) => SCOPE_OF_CLAIM.get(claim)).filter((scope) => scope !== undefined)),
  ];
}

/** The claims that those scopes cover. */
export function claimsOfScopes(scopes: readonly string[]): string[] {
  return [...SCOPE_OF_CLAIM].filter(([, scope]) => scopes.includes(scope)).map(([claim]) => claim);
}

/** @param parameter `claims` of a request that was checked, as it stands there */
export function requestedAcr(parameter: unknown): RequestedAcr {
  if (typeof parameter !== 'string') return { preferred: [] };
  const { id_token: idToken } = JSON.parse(parameter) as { id_token?: Record<string, unknown> };
  return readAcr(idToken?.['acr']);
}

function readAcr(request: unknown): RequestedAcr {
  if (request === undefined) return { preferred: [] };
  const parsed = acrRequest.safeParse(request);
  if (!parsed.success)
    throw new errors.InvalidRequest('claims.id_token.acr is not asked for as it should be');
  const { essential, value, values = [] } = parsed.data ?? {};
  const preferred = [...(value === undefined ? [] : [value]), ...values];
  return { preferred, ...(essential && preferred.length > 0 ? { essential: preferred } : {}) };
}

function allowed(claims: Record<string, unknown>, scopes: readonly string[]): Record<string, unknown> {
  const permitted = Object.entries(claims)
    .filter(([claim]) => ABOUT_SIGN_IN.has(claim) || scopes.includes(SCOPE_OF_CLAIM.get(claim) ?? ''))
    .map(([claim, request]) => [claim, claimRequest.safeParse(request).data] as const);
  return Object.fromEntries(permitted.filter(([, request]) => request !== undefined));
}
