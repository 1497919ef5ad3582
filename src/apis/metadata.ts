import type { Api } from './api.ts';
import type { AuthorizationType } from './authorization-type.ts';

/** What proofs may be signed with (RFC 9449 §5.1), here and at the APIs that our tokens are for. */
export const DPOP_SIGNING_ALGS = ['ES256', 'EdDSA', 'Ed25519', 'PS256', 'RS256'] as const;

/**
 * OAuth 2.0 Protected Resource Metadata (RFC 9728 §2): what the API may publish about itself as it is registered here.
 * It says nothing of what the API signs by itself, for of that we know nothing.
 */
export function protectedResourceMetadata(
  { identifier, name, permissions }: Pick<Api, 'identifier' | 'name' | 'permissions'>,
  { issuer, types = [] }: { issuer: string; types?: readonly AuthorizationType[] },
): Record<string, unknown> {
  const own = types.filter(({ api }) => api === identifier).map(({ type }) => type);
  return {
    resource: identifier,
    resource_name: name,
    authorization_servers: [issuer],
    ...(permissions.length > 0 && { scopes_supported: permissions.map((permission) => permission.name) }),
    ...(own.length > 0 && { authorization_details_types_supported: own }),
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: [...DPOP_SIGNING_ALGS],
    dpop_bound_access_tokens_required: false,
  };
}
