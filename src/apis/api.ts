/** An API (a resource server, RFC 8707): what access tokens are for, and what they can permit there. */

export const ACCESS_TOKEN_FORMATS = ['jwt', 'opaque'] as const;
/** `jwt`: the API checks tokens by itself (RFC 9068). `opaque`: it asks here about each (RFC 7662). */
export type AccessTokenFormat = (typeof ACCESS_TOKEN_FORMATS)[number];

export const API_SIGNING_ALGS = ['RS256', 'ES256', 'EdDSA'] as const;
export type ApiSigningAlg = (typeof API_SIGNING_ALGS)[number];

/** No access token lives longer, whatever its API or client says: what verifies and revokes them is kept this long. */
export const MAX_ACCESS_TOKEN_SECONDS = 86_400;

/** One thing that can be permitted at an API: a scope of its own (RFC 6749 §3.3). */
export interface Permission {
  name: string;
  /** What people read when they are asked: "See your invoices". */
  description: string;
}

/** One that an API has. Who was given a former one of its name was not given this. */
export interface StandingPermission extends Permission {
  createdAt: Date;
}

/** What an operator decides about an API. */
export interface ApiDefinition {
  name: string;
  accessTokenFormat: AccessTokenFormat;
  /** Instead of the configured lifetime. */
  accessTokenTtlSeconds?: number;
  /** Refresh tokens for it end when they were not used for this long: at the latest, for others may be stricter. */
  refreshTokenIdleSeconds?: number;
  /** And with their family, however often they are used. */
  refreshTokenAbsoluteSeconds?: number;
  /** What signs its tokens, where they are JWTs. */
  signingAlg: ApiSigningAlg;
  /** Whether a client may get tokens for it while the person is signed out. */
  allowOfflineAccess: boolean;
  /** The client that stands for the API and may ask about the tokens that are for it. */
  clientId?: string;
}

export interface Api extends ApiDefinition {
  /** An absolute URI without a fragment: the `resource` of requests and the `aud` of tokens. It never changes. */
  identifier: string;
  /** By name. */
  permissions: readonly StandingPermission[];
  createdAt: Date;
  updatedAt: Date;
}
