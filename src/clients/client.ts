/** A relying party: an application, or an API's caller, that is registered here. */
import type { ProtocolOptions } from './protocol-options.ts';

export const CLIENT_KINDS = ['web', 'native', 'browser', 'machine'] as const;
/**
 * - `web`: has a server that keeps a secret (RFC 6749 §2.1, confidential)
 * - `native`: an installed application (RFC 8252), or a device without a browser (RFC 8628), public
 * - `browser`: runs in the browser, public
 * - `machine`: acts for itself, has no redirect URI, confidential
 */
export type ClientKind = (typeof CLIENT_KINDS)[number];

/** RFC 8628 §3.4 */
export const DEVICE_CODE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

/** RFC 8693 §2.1 */
export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

/** OpenID CIBA Core 1.0 §4 */
export const CIBA_GRANT = 'urn:openid:params:grant-type:ciba';

export const GRANT_TYPES = [
  'authorization_code',
  'refresh_token',
  'client_credentials',
  DEVICE_CODE_GRANT,
  CIBA_GRANT,
  TOKEN_EXCHANGE,
] as const;
export type GrantType = (typeof GRANT_TYPES)[number];

/** Those that begin with a person; refresh tokens come from them. */
export const SIGN_IN_GRANTS: ReadonlySet<GrantType> = new Set([
  'authorization_code',
  DEVICE_CODE_GRANT,
  CIBA_GRANT,
]);

export const AUTH_METHODS = [
  'client_secret_basic',
  'client_secret_post',
  'private_key_jwt',
  'tls_client_auth',
  'self_signed_tls_client_auth',
  'none',
] as const;
/** How the client authenticates at the token endpoint; `none` makes it a public client. */
export type AuthMethod = (typeof AUTH_METHODS)[number];

/** ML-DSA-65 where the operator has enabled it (`keys.algorithms`). */
export const ID_TOKEN_ALGS = ['RS256', 'ES256', 'EdDSA', 'ML-DSA-65'] as const;
export type IdTokenAlg = (typeof ID_TOKEN_ALGS)[number];

export const CONSENT_POLICIES = ['always', 'once', 'never'] as const;
/** When a person is asked; `never` is for first-party clients. */
export type ConsentPolicy = (typeof CONSENT_POLICIES)[number];

export const CLIENT_SCOPES = ['openid', 'profile', 'email', 'roles', 'offline_access'] as const;

/** A public JSON Web Key Set (RFC 7517 §5). */
export interface Jwks {
  keys: Record<string, unknown>[];
}

/** What an operator decides about a client. */
export interface ClientDefinition extends ProtocolOptions {
  name: string;
  kind: ClientKind;
  firstParty: boolean;
  consent: ConsentPolicy;
  /** May be false for a confidential client only. */
  requirePkce: boolean;
  requirePushedAuthorizationRequests: boolean;
  dpopBoundAccessTokens: boolean;
  /** The name of a role without which nobody gets in. */
  requireRole?: string;
  requireMfa: boolean;
  redirectUris: readonly string[];
  postLogoutRedirectUris: readonly string[];
  grantTypes: readonly GrantType[];
  authMethod: AuthMethod;
  jwks?: Jwks;
  jwksUri?: string;
  scopes: readonly string[];
  idTokenAlg: IdTokenAlg;
  /** Where the roles go in tokens (see `rolesClaimPath`), and which: those whose name starts with the prefix. */
  rolesClaim: { name: string; prefix?: string };
  /** Puts every granted claim into the ID token, for relying parties that read nothing else. */
  claimsInIdToken: boolean;
  /** Instead of the configured lifetime. */
  accessTokenTtlSeconds?: number;
  clientUri?: string;
  logoUri?: string;
  policyUri?: string;
  tosUri?: string;
  /** Where a sign-in can be started anew (OIDC Core §4). */
  initiateLoginUri?: string;
  /** E-mail addresses of those responsible. */
  contacts: readonly string[];
  /** Origins that may call the token and userinfo endpoints from a browser (CORS). */
  allowedOrigins: readonly string[];
  /** Where its server is told of sign-outs (OIDC Back-Channel Logout 1.0 §2.2). */
  backchannelLogoutUri?: string;
  /** Whether it is told which session ended (`sid`); else every session of the person there ends. */
  backchannelLogoutSessionRequired: boolean;
  /** Loaded in a frame when a browser signs out (OIDC Front-Channel Logout 1.0 §2). */
  frontchannelLogoutUri?: string;
  frontchannelLogoutSessionRequired: boolean;
  /** Whether signing out ends its `offline_access` as well; as configured where absent. */
  endsOfflineGrants?: boolean;
}

/** A stored secret: salted SHA-256 of 256 random bits, so no slow hash is needed. */
export interface ClientSecret {
  id: string;
  salt: Buffer;
  hash: Buffer;
  createdAt: Date;
  /** Absent: lives until it is removed. */
  expiresAt?: Date;
}

export interface Client extends ClientDefinition {
  clientId: string;
  /**
   * Absent for an operator's. `dynamic` registered itself (RFC 7591); `document` is what the document says that its id
   * leads to, and is stored nowhere. Nobody here vouches for either.
   */
  origin?: 'dynamic' | 'document';
  /** At most two live ones; empty for public clients and those that authenticate by key. */
  secrets: readonly ClientSecret[];
  createdAt: Date;
  updatedAt: Date;
}

/** Whether the client cannot keep a secret (RFC 6749 §2.1). */
export function isPublic(client: Pick<ClientDefinition, 'authMethod'>): boolean {
  return client.authMethod === 'none';
}

/** Whether its ID tokens must carry `sid`, for it will be told of the end of a session by that name. */
export function needsSid(client: ClientDefinition): boolean {
  return (
    (client.backchannelLogoutUri !== undefined && client.backchannelLogoutSessionRequired) ||
    (client.frontchannelLogoutUri !== undefined && client.frontchannelLogoutSessionRequired)
  );
}

/** Whether the client authenticates with a shared secret (RFC 6749 §2.3.1). */
export function hasSecret(client: Pick<ClientDefinition, 'authMethod'>): boolean {
  return client.authMethod === 'client_secret_basic' || client.authMethod === 'client_secret_post';
}
