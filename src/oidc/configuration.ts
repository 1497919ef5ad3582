/**
 * What oidc-provider is told, as a pure function of our settings and parts: every default that would be wrong for us is
 * overridden here, with its reason. Behaviour that the configuration cannot express is installed in provider.ts.
 */
import { type Adapter, type Configuration, errors, type Grant, type KoaContextWithOIDC } from 'oidc-provider';

import { MAX_ACCESS_TOKEN_SECONDS } from '../apis/api.ts';
import { DPOP_SIGNING_ALGS } from '../apis/metadata.ts';
import { AUTH_METHODS, type Client } from '../clients/client.ts';
import { CLIENT_SIGNING_ALGS } from '../clients/message-algs.ts';
import { GATEHOUSE_METADATA } from '../clients/metadata.ts';
import type { SigningAlg } from '../keys/signing-key.ts';
import { CLAIMS_OF_OPENID, CLAIMS_OF_SCOPE, createAssertClaims } from './claims-parameter.ts';
import type { Ciba } from './ciba.ts';
import type { DpopRules } from './dpop.ts';
import { accessTokenSeconds } from './entitlement.ts';
import { MESSAGE_FEATURES, messageAlgs } from './messages.ts';
import type { MutualTls } from './mutual-tls.ts';
import { createOfflineAccess } from './offline-access.ts';
import type { RefreshTokens } from './refresh-tokens.ts';
import { ACR_ONE_FACTOR, ACR_TWO_FACTORS } from './requirements.ts';
import type { AuthorizationDetails } from './authorization-details.ts';
import type { Resources } from './resources.ts';
import { assertRequestObject } from './request-objects.ts';
import { OIDC_SCOPES } from './scopes.ts';
import type { SecurityProfiles } from './security-profile.ts';
import type { StructuredTokens } from './structured-tokens.ts';
import { exchangedClaims } from './token-exchange/authority.ts';
import type { MayAsk } from './token-readers.ts';

export interface Lifetimes {
  accessTokenSeconds: number;
  authorizationCodeSeconds: number;
  deviceCodeSeconds: number;
  idTokenSeconds: number;
  refreshTokenIdleSeconds: number;
  refreshTokenAbsoluteSeconds: number;
  interactionSeconds: number;
  sessionIdleSeconds: number;
  sessionSeconds: number;
}

export interface ProviderPages {
  /** The library's errors, for people. */
  renderError: NonNullable<Configuration['renderError']>;
  logoutSource: (ctx: KoaContextWithOIDC, form: string) => Promise<void>;
  postLogoutSuccessSource: (ctx: KoaContextWithOIDC) => Promise<void>;
}

export interface ConfigurationInput {
  issuer: string;
  /** Endpoints and features that are not the library's. */
  announced: Record<string, unknown>;
  ttl: Lifetimes;
  jwks: NonNullable<Configuration['jwks']>;
  /** Those that have a key. No HS*: secrets are stored hashed. */
  signingAlgs: readonly SigningAlg[];
  cookieKeys: string[];
  adapter: (name: string) => Adapter;
  policy: NonNullable<NonNullable<Configuration['interactions']>['policy']>;
  findAccount: NonNullable<Configuration['findAccount']>;
  pairwiseIdentifier: NonNullable<Configuration['pairwiseIdentifier']>;
  loadExistingGrant: (ctx: KoaContextWithOIDC) => Promise<Grant | undefined>;
  clientOf: (providerClient: object) => Client | undefined;
  resources: Resources;
  authorizationDetails: AuthorizationDetails;
  refreshTokens: RefreshTokens;
  dpop: DpopRules;
  mutualTls: MutualTls;
  profiles: SecurityProfiles;
  structuredTokens: StructuredTokens;
  mayIntrospect: MayAsk;
  /** For what the library reads from clients' addresses: `jwks_uri`. */
  fetch: NonNullable<Configuration['fetch']>;
  pages: ProviderPages;
  ciba: Ciba;
  /** See device-entry.ts. */
  deviceFlow: NonNullable<NonNullable<Configuration['features']>['deviceFlow']>;
}

export const DPOP_ALGS = DPOP_SIGNING_ALGS;

const MAX_ASSERTION_SECONDS = 86_400;

/** A grant is never extended, so it lives as long as the last tokens that a session may start under it. */
export function longestGrantSeconds(ttl: Lifetimes): number {
  return ttl.refreshTokenAbsoluteSeconds + longestSessionBoundSeconds(ttl);
}

/** How long what a session gives may outlive the moment of its end: for so long its end is remembered. */
export function longestSessionBoundSeconds(ttl: Lifetimes): number {
  return ttl.sessionSeconds + MAX_ACCESS_TOKEN_SECONDS;
}

export function buildConfiguration(input: ConfigurationInput): Configuration {
  const isHttps = input.issuer.startsWith('https:');
  const { ttl, clientOf, resources, profiles } = input;
  const restoreOfflineAccess = createOfflineAccess(clientOf);
  const lifeOf = (token: object, client: object): number =>
    accessTokenSeconds(
      ttl.accessTokenSeconds,
      clientOf(client)?.accessTokenTtlSeconds,
      (token as { resourceServer?: { accessTokenTTL?: number } }).resourceServer?.accessTokenTTL,
    );
  const path = new URL(input.issuer).pathname.replace(/\/$/, '');

  return {
    adapter: input.adapter,
    jwks: input.jwks,
    fetch: input.fetch,
    // Notices are sent from a queue of ours (sign-out/), so the library's own are off, and it announces none.
    discovery: {
      ...input.announced,
      backchannel_logout_supported: true,
      backchannel_logout_session_supported: true,
      frontchannel_logout_supported: true,
      frontchannel_logout_session_supported: true,
      // Where nothing is said, revocation takes client_secret_basic alone (RFC 8414 §2).
      ...Object.fromEntries(
        ['introspection', 'revocation'].flatMap((endpoint) => [
          [`${endpoint}_endpoint_auth_methods_supported`, [...AUTH_METHODS]],
          [`${endpoint}_endpoint_auth_signing_alg_values_supported`, [...CLIENT_SIGNING_ALGS]],
        ]),
      ),
      // Our pages speak English; `ui_locales` may ask for anything.
      ui_locales_supported: ['en'],
    },
    findAccount: input.findAccount,
    loadExistingGrant: input.loadExistingGrant,
    interactions: { policy: input.policy, url: (_ctx, interaction) => interactionPath(path, interaction) },
    renderError: input.pages.renderError,

    routes: {
      authorization: '/oauth/authorize',
      token: '/oauth/token',
      userinfo: '/oauth/userinfo',
      jwks: '/oauth/jwks',
      introspection: '/oauth/introspect',
      revocation: '/oauth/revoke',
      pushed_authorization_request: '/oauth/par',
      end_session: '/oauth/logout',
      device_authorization: '/oauth/device_authorization',
      backchannel_authentication: '/oauth/backchannel',
      code_verification: '/device',
    },
    // OIDC Core §3.1.2.1 asks for POST at the authorization endpoint. A cross-site POST carries the session cookie only
    // with SameSite=None, which browsers accept over https alone.
    enableHttpPostMethods: isHttps,
    cookies: {
      keys: input.cookieKeys,
      names: cookieNames(isHttps, path),
      long: {
        signed: true,
        httpOnly: true,
        sameSite: isHttps ? 'none' : 'lax',
        path: path || '/',
        secure: isHttps,
      },
      short: { signed: true, httpOnly: true, sameSite: 'lax', secure: isHttps },
    },

    responseTypes: ['code'],
    scopes: [...OIDC_SCOPES],
    acrValues: [ACR_ONE_FACTOR, ACR_TWO_FACTORS],
    claims: {
      openid: [...CLAIMS_OF_OPENID],
      ...CLAIMS_OF_SCOPE,
    },
    subjectTypes: ['public', 'pairwise'],
    pairwiseIdentifier: input.pairwiseIdentifier,
    pkce: { required: (_ctx, client) => clientOf(client)?.requirePkce !== false },
    allowOmittingSingleRegisteredRedirectUri: false,
    acceptQueryParamAccessTokens: false,
    clientAuthMethods: [...AUTH_METHODS],
    enabledJWA: {
      clientAuthSigningAlgValues: [...CLIENT_SIGNING_ALGS],
      ...messageAlgs(input.signingAlgs),
      dPoPSigningAlgValues: [...DPOP_ALGS],
    },
    assertJwtClientAuthClaimsAndHeader: async (ctx, claims, header, client) => {
      profiles.checkClientAssertion(ctx, claims, header, client);
      // Each one is remembered until it has expired (RFC 7523 §3, 4).
      if (!(Number(claims['exp']) - Date.now() / 1000 <= MAX_ASSERTION_SECONDS)) {
        throw new errors.InvalidClientAuth('the client assertion lives longer than a day');
      }
    },
    extraClientMetadata: { properties: [GATEHOUSE_METADATA] },
    extraParams: {
      [NARROWING_HOOK]: async (ctx) => {
        profiles.checkAuthorizationRequest(ctx);
        restoreOfflineAccess(ctx);
        await resources.narrowRequest(ctx);
      },
    },
    clientBasedCORS: (_ctx, origin, client) => clientOf(client)?.allowedOrigins.includes(origin) ?? false,

    // Which rotate is said in refresh-tokens.ts; who presents a spent one is decided in adapter.ts.
    rotateRefreshToken: input.refreshTokens.rotates,
    // Without offline_access the refresh token ends with the session: expiresWithSession says so by default.
    issueRefreshToken: input.refreshTokens.issues,
    extraTokenClaims: exchangedClaims(resources.tokenClaims),
    formats: {
      customizers: { jwt: (_ctx, token, parts) => input.structuredTokens.carry(token as object, parts) },
    },
    revokeGrantPolicy: (ctx) => !(ctx.oidc.route === 'revocation' && ctx.oidc.entities.AccessToken),

    ttl: {
      AccessToken: (_ctx, token, client) => lifeOf(token, client),
      ClientCredentials: (_ctx, token, client) => lifeOf(token, client),
      AuthorizationCode: (_ctx, _code, client) => profiles.codeSeconds(client, ttl.authorizationCodeSeconds),
      IdToken: ttl.idTokenSeconds,
      DeviceCode: ttl.deviceCodeSeconds,
      BackchannelAuthenticationRequest: input.ciba.ttl,
      RefreshToken: input.refreshTokens.secondsLeft,
      Grant: longestGrantSeconds(ttl),
      Interaction: ttl.interactionSeconds,
      Session: (_ctx, session) =>
        Math.max(1, Math.min(ttl.sessionIdleSeconds, ttl.sessionSeconds - secondsSince(session.loginTs))),
    },

    features: {
      devInteractions: { enabled: false },
      // Keys that sign by themselves: those of an external service, and the quick ones (external-key.ts).
      externalSigningSupport: { enabled: true, ack: 'experimental-01' },
      clientCredentials: { enabled: true },
      introspection: {
        enabled: true,
        allowedPolicy: async (_ctx, client, token) => input.mayIntrospect(client, token),
      },
      ...MESSAGE_FEATURES,
      requestObjects: {
        enabled: true,
        assertJwtClaimsAndHeader: async (...request) => {
          await assertRequestObject(...request);
          profiles.checkRequestObject(...request);
        },
      },
      claimsParameter: { enabled: true, assertClaimsParameter: createAssertClaims(clientOf) },
      revocation: {
        enabled: true,
        allowedPolicy: async (_ctx, client, token) => token.clientId === client.clientId,
      },
      userinfo: { enabled: true },
      deviceFlow: input.deviceFlow,
      ciba: input.ciba.feature,
      pushedAuthorizationRequests: { enabled: true },
      dPoP: input.dpop.feature,
      mTLS: input.mutualTls.feature,
      richAuthorizationRequests: input.authorizationDetails.feature() as never,
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: async (ctx, identifier, client) =>
          profiles.checkResourceServer(client, await resources.info(ctx, identifier)),
        defaultResource: input.authorizationDetails.defaultResource,
        // Without `resource` a token is for userinfo, where the scope lets it be.
        useGrantedResource: async (ctx, source) => resources.usesGranted(ctx, source),
      },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: input.pages.logoutSource,
        postLogoutSuccessSource: input.pages.postLogoutSuccessSource,
      },
    },
  };
}

/** Never sent by anybody: its validator is a hook, called when the library has checked scope and resources. */
const NARROWING_HOOK = 'gatehouse_narrowing';

/** `__Host-` (RFC 6265bis §4.1.3.2) needs https and the path `/`; a browser then takes it from this host alone. */
function cookieNames(
  isHttps: boolean,
  path: string,
): { session: string; interaction: string; resume: string } {
  return {
    session: isHttps && path === '' ? '__Host-gatehouse-session' : 'gatehouse-session',
    // These two are bound to the interaction's own path.
    interaction: 'gatehouse-interaction',
    resume: 'gatehouse-resume',
  };
}

function secondsSince(epochSeconds: number | undefined): number {
  return epochSeconds === undefined ? 0 : Math.floor(Date.now() / 1000) - epochSeconds;
}

/** The client's id goes along so that an expired page can still lead back to it; nothing else is read from it. */
function interactionPath(issuerPath: string, { uid, params }: { uid: string; params: object }): string {
  const { client_id: clientId = '' } = params as { client_id?: string };
  return `${issuerPath}/interaction/${uid}?${new URLSearchParams({ client_id: clientId }).toString()}`;
}
