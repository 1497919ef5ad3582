import { randomToken } from '../platform/ids.ts';
import { cibaMetadata } from './ciba-options.ts';
import { hasSecret, type Client } from './client.ts';
import { providerOptions } from './protocol-options.ts';

/** The property that carries what the standard metadata have no name for. */
export const GATEHOUSE_METADATA = 'gatehouse';

export type GatehouseMetadata = {
  kind: Client['kind'];
  first_party: boolean;
  consent: Client['consent'];
  require_pkce: boolean;
  require_mfa: boolean;
  require_role?: string;
  roles_claim: { name: string; prefix?: string };
  claims_in_id_token: boolean;
  allowed_origins: string[];
  access_token_ttl_seconds?: number;
  /** Also where it is http on loopback, which the standard property may not be. */
  initiate_login_uri?: string;
};

/**
 * Client metadata by their registered names (RFC 7591 §2, OIDC Registration §2). A type, not an interface: only that is
 * assignable to the provider's, which has an index signature.
 */
export type ClientMetadata = {
  client_id: string;
  client_secret?: string;
  client_name: string;
  application_type: 'web' | 'native';
  redirect_uris: string[];
  post_logout_redirect_uris: string[];
  grant_types: string[];
  response_types: 'code'[];
  token_endpoint_auth_method: Client['authMethod'];
  scope?: string;
  subject_type: 'public' | 'pairwise';
  id_token_signed_response_alg: Client['idTokenAlg'];
  require_pushed_authorization_requests: boolean;
  dpop_bound_access_tokens: boolean;
  contacts?: string[];
  client_uri?: string;
  logo_uri?: string;
  policy_uri?: string;
  tos_uri?: string;
  initiate_login_uri?: string;
  jwks?: { keys: Record<string, unknown>[] };
  jwks_uri?: string;
  backchannel_logout_uri?: string;
  backchannel_logout_session_required?: boolean;
  frontchannel_logout_uri?: string;
  frontchannel_logout_session_required?: boolean;
  [GATEHOUSE_METADATA]: GatehouseMetadata;
};

/**
 * Stands where the provider demands a secret; the real one is stored as a hash and compared by `verifySecret`. Random,
 * so that whatever the provider might derive from it (an HMAC key) is nothing that anybody knows.
 */
const SECRET_PLACEHOLDER = randomToken();

/** The client as the provider wants it. A new object each time: the provider may alter it. */
export function toMetadata(client: Client): ClientMetadata {
  return {
    client_id: client.clientId,
    ...(hasSecret(client) && { client_secret: SECRET_PLACEHOLDER }),
    client_name: client.name,
    // For a native client the provider lets the port of a loopback URI be free (RFC 8252 §7.3).
    application_type: client.kind === 'native' ? 'native' : 'web',
    redirect_uris: [...client.redirectUris],
    post_logout_redirect_uris: [...client.postLogoutRedirectUris],
    grant_types: [...client.grantTypes],
    response_types: client.grantTypes.includes('authorization_code') ? ['code'] : [],
    token_endpoint_auth_method: client.authMethod,
    ...(client.scopes.length > 0 && { scope: client.scopes.join(' ') }),
    subject_type: 'public',
    id_token_signed_response_alg: client.idTokenAlg,
    require_pushed_authorization_requests: client.requirePushedAuthorizationRequests,
    dpop_bound_access_tokens: client.dpopBoundAccessTokens,
    ...(client.contacts.length > 0 && { contacts: [...client.contacts] }),
    ...(client.clientUri !== undefined && { client_uri: client.clientUri }),
    ...(client.logoUri !== undefined && { logo_uri: client.logoUri }),
    ...(client.policyUri !== undefined && { policy_uri: client.policyUri }),
    ...(client.tosUri !== undefined && { tos_uri: client.tosUri }),
    // OIDC Core §4 asks for https, and the provider refuses the client otherwise.
    ...(client.initiateLoginUri?.startsWith('https:') && { initiate_login_uri: client.initiateLoginUri }),
    ...(client.jwks !== undefined && { jwks: { keys: client.jwks.keys.map((key) => ({ ...key })) } }),
    ...(client.jwksUri !== undefined && { jwks_uri: client.jwksUri }),
    ...(client.backchannelLogoutUri !== undefined && {
      backchannel_logout_uri: client.backchannelLogoutUri,
      backchannel_logout_session_required: client.backchannelLogoutSessionRequired,
    }),
    ...(client.frontchannelLogoutUri !== undefined && {
      frontchannel_logout_uri: client.frontchannelLogoutUri,
      frontchannel_logout_session_required: client.frontchannelLogoutSessionRequired,
    }),
    ...providerOptions(client),
    ...cibaMetadata(client),
    [GATEHOUSE_METADATA]: {
      kind: client.kind,
      first_party: client.firstParty,
      consent: client.consent,
      require_pkce: client.requirePkce,
      require_mfa: client.requireMfa,
      ...(client.requireRole !== undefined && { require_role: client.requireRole }),
      roles_claim: { ...client.rolesClaim },
      claims_in_id_token: client.claimsInIdToken,
      allowed_origins: [...client.allowedOrigins],
      ...(client.accessTokenTtlSeconds !== undefined && {
        access_token_ttl_seconds: client.accessTokenTtlSeconds,
      }),
      ...(client.initiateLoginUri !== undefined && { initiate_login_uri: client.initiateLoginUri }),
    },
  };
}
