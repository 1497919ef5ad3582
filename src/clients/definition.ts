import { AppError } from '../platform/errors.ts';
import { checkCiba } from './ciba-options.ts';
import {
  AUTH_METHODS,
  CIBA_GRANT,
  CLIENT_KINDS,
  CLIENT_SCOPES,
  CONSENT_POLICIES,
  GRANT_TYPES,
  ID_TOKEN_ALGS,
  isPublic,
  SIGN_IN_GRANTS,
  TOKEN_EXCHANGE,
  type ClientDefinition,
  type ClientKind,
} from './client.ts';
import { checkJwks } from './jwks.ts';
import { checkMessageOptions, needsKeys } from './message-options.ts';
import { checkMutualTls, hasCertificate } from './mutual-tls.ts';
import { checkPairwise } from './pairwise.ts';
import { checkProtocolOptions } from './protocol-options.ts';
import { checkRefreshOptions } from './refresh-options.ts';
import { checkTokenExchange } from './token-exchange-options.ts';
import {
  checkOrigin,
  checkRedirectUri,
  checkServerUri,
  checkWebUri,
  destinationOf,
  originsOf,
} from './redirect-uris.ts';
import { checkRolesClaim } from './roles-claim.ts';
import { checkSecurityProfile, underProfile } from './security-profile.ts';

const MAX_URIS = 50;
const OF_MACHINES: ReadonlySet<string> = new Set(['client_credentials', TOKEN_EXCHANGE]);
const WEB_PAGES = ['clientUri', 'logoUri', 'policyUri', 'tosUri', 'initiateLoginUri', 'jwksUri'] as const;
const EMAIL = /^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)*$/;

export type DefinitionInput = Partial<ClientDefinition> & { name: string; isPublic?: boolean };
export type DefinitionChanges = {
  [K in keyof Omit<ClientDefinition, 'kind'>]?:
    ClientDefinition[K] | (undefined extends ClientDefinition[K] ? null : never) | undefined;
};

/**
 * Fills in what was left out, safest first, and checks the whole.
 *
 * @throws AppError `invalid_redirect_uri` or `invalid_client` (400), whose message says what to do
 */
export function defineClient(input: DefinitionInput): ClientDefinition {
  const { isPublic: isAskedPublic, ...given } = withoutUndefined(input);
  const kind =
    given.kind ??
    inferKind(
      given,
      isAskedPublic ?? (given.authMethod === undefined ? undefined : given.authMethod === 'none'),
    );
  const hasPeople = kind !== 'machine';
  const grantTypes =
    given.grantTypes ?? (hasPeople ? ['authorization_code', 'refresh_token'] : ['client_credentials']);
  const firstParty = given.firstParty ?? false;
  const definition: ClientDefinition = {
    firstParty,
    consent: firstParty ? 'never' : 'once',
    requirePkce: true,
    requirePushedAuthorizationRequests: false,
    dpopBoundAccessTokens: false,
    requireMfa: false,
    redirectUris: [],
    postLogoutRedirectUris: [],
    authMethod: isPublicKind(kind) ? 'none' : 'client_secret_basic',
    scopes: hasPeople
      ? CLIENT_SCOPES.filter((scope) => scope !== 'offline_access' || grantTypes.includes('refresh_token'))
      : [],
    idTokenAlg: 'RS256',
    rolesClaim: { name: 'roles' },
    claimsInIdToken: false,
    contacts: [],
    allowedOrigins: kind === 'browser' ? originsOf(given.redirectUris ?? []) : [],
    backchannelLogoutSessionRequired: true,
    frontchannelLogoutSessionRequired: true,
    ...given,
    kind,
    grantTypes,
  };
  if (isAskedPublic !== undefined && isAskedPublic !== isPublic(definition)) {
    throw refuse(`a ${kind} client is ${isPublicKind(kind) ? 'public' : 'confidential'}`);
  }
  return checked(underProfile(definition, given));
}

/**
 * Applies changes and checks the whole again. Origins that followed from the redirect URIs go on following them.
 *
 * @throws AppError as `defineClient`
 */
export function changeDefinition(before: ClientDefinition, changes: DefinitionChanges): ClientDefinition {
  const after: Record<string, unknown> = { ...before };
  for (const [name, value] of Object.entries(withoutUndefined(changes))) {
    if (value === null) delete after[name];
    else after[name] = value;
  }
  const isDerived = sameList(before.allowedOrigins, originsOf(before.redirectUris));
  if (before.kind === 'browser' && changes.allowedOrigins === undefined && isDerived) {
    after['allowedOrigins'] = originsOf(after['redirectUris'] as string[]);
  }
  const definition = after as unknown as ClientDefinition;
  return checked(before.profile === definition.profile ? definition : underProfile(definition, changes));
}

/** The properties whose values differ, for the audit record. */
export function changedProperties(before: ClientDefinition, after: ClientDefinition): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]) as Set<keyof ClientDefinition>;
  return [...names].filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name])).sort();
}

function inferKind(
  { redirectUris = [], grantTypes = [] }: Partial<ClientDefinition>,
  isPublic: boolean | undefined,
): ClientKind {
  if (redirectUris.length === 0) {
    // A device shows a code, and whoever owns it can read its secrets.
    if (grantTypes.some((grant) => grant !== 'authorization_code' && SIGN_IN_GRANTS.has(grant))) {
      return isPublic === false || grantTypes.includes(CIBA_GRANT) ? 'web' : 'native';
    }
    if (isPublic) {
      throw refuse(
        'a public client needs a redirect URI; without one it acts for itself and must keep a secret',
      );
    }
    return 'machine';
  }
  if (!isPublic) return 'web';
  const destinations = redirectUris.map((uri) => destinationOf(uri));
  // A page under development comes from localhost; an installed application listens on the address (RFC 8252 §8.3).
  const isNative = destinations.some(
    (destination) => destination === 'private_use' || destination === 'loopback',
  );
  return isNative ? 'native' : 'browser';
}

function checked(input: ClientDefinition): ClientDefinition {
  const definition: ClientDefinition = {
    ...input,
    name: input.name.normalize('NFC').trim(),
    redirectUris: distinct(input.redirectUris),
    postLogoutRedirectUris: distinct(input.postLogoutRedirectUris),
    grantTypes: distinct(input.grantTypes),
    scopes: distinct(input.scopes),
    contacts: distinct(input.contacts),
    allowedOrigins: distinct(input.allowedOrigins),
  };
  checkName(definition.name);
  checkChoices(definition);
  checkUris(definition);
  checkGrants(definition);
  checkAuthentication(definition);
  checkPolicies(definition);
  checkRolesClaim(definition.rolesClaim);
  checkProtocolOptions(definition);
  checkPairwise(definition);
  checkRefreshOptions(definition);
  checkTokenExchange(definition);
  checkCiba(definition);
  checkMessageOptions(definition);
  checkMutualTls(definition);
  checkSecurityProfile(definition);
  return definition;
}

function checkName(name: string): void {
  // Shown on the consent page: no characters that hide or turn round what stands beside them.
  if (name.length === 0 || name.length > 100 || /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u.test(name)) {
    throw refuse('a name is 1 to 100 visible characters');
  }
}

function checkChoices({ kind, consent, grantTypes, authMethod, idTokenAlg, scopes }: ClientDefinition): void {
  oneOf('kind', [kind], CLIENT_KINDS);
  oneOf('consent', [consent], CONSENT_POLICIES);
  oneOf('grant type', grantTypes, GRANT_TYPES);
  oneOf('token endpoint authentication method', [authMethod], AUTH_METHODS);
  oneOf('ID token algorithm', [idTokenAlg], ID_TOKEN_ALGS);
  oneOf('scope', scopes, CLIENT_SCOPES);
}

function checkUris(definition: ClientDefinition): void {
  const { kind, redirectUris, postLogoutRedirectUris, allowedOrigins } = definition;
  for (const uris of [redirectUris, postLogoutRedirectUris, allowedOrigins]) {
    if (uris.length > MAX_URIS) throw refuse(`at most ${MAX_URIS} URIs of a sort can be registered`);
    for (const uri of uris === allowedOrigins ? [] : uris) checkRedirectUri(uri, kind);
  }
  for (const origin of allowedOrigins) checkOrigin(origin);
  if (allowedOrigins.length > 0 && kind !== 'browser') {
    throw refuse('allowed origins are for browser clients; others call from no web page, so leave them out');
  }
  for (const property of WEB_PAGES) {
    const uri = definition[property];
    if (uri !== undefined)
      checkWebUri(
        uri,
        property.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      );
  }
  checkLogoutUris(definition);
}

function checkLogoutUris(definition: ClientDefinition): void {
  const { kind, redirectUris, backchannelLogoutUri, frontchannelLogoutUri } = definition;
  const logoutUris = [backchannelLogoutUri, frontchannelLogoutUri].filter((uri) => uri !== undefined);
  if (kind === 'machine' && logoutUris.length > 0) {
    throw refuse('nobody signs in to a machine client, so it is told of no sign-out');
  }
  if (backchannelLogoutUri !== undefined) {
    checkServerUri(backchannelLogoutUri, {
      property: 'backchannel_logout_uri',
      // OIDC Back-Channel Logout 1.0 §2.2.
      mayBeHttp: !isPublic(definition),
    });
  }
  if (frontchannelLogoutUri === undefined) return;
  checkWebUri(frontchannelLogoutUri, 'frontchannel_logout_uri');
  if (!originsOf(redirectUris).includes(new URL(frontchannelLogoutUri).origin)) {
    // OIDC Front-Channel Logout 1.0 §2: nobody's page is loaded but the client's own.
    throw refuse(
      'the frontchannel_logout_uri must have the scheme, host and port of one of the redirect URIs',
    );
  }
}

function checkGrants(definition: ClientDefinition): void {
  const { kind, grantTypes, redirectUris, scopes } = definition;
  const has = (grant: (typeof GRANT_TYPES)[number]): boolean => grantTypes.includes(grant);
  if (kind === 'machine') {
    if (grantTypes.length === 0 || !grantTypes.every((grant) => OF_MACHINES.has(grant))) {
      throw refuse(
        'a client without redirect URIs acts for itself: its grant type is client_credentials, or token exchange; give a redirect URI if people sign in to it',
      );
    }
    if (scopes.includes('openid') || scopes.includes('offline_access')) {
      throw refuse('openid and offline_access are about people; a machine client goes without them');
    }
    return;
  }
  const signsPeopleIn = grantTypes.some((grant) => SIGN_IN_GRANTS.has(grant));
  if (has('refresh_token') && !signsPeopleIn) {
    throw refuse(
      'refresh_token needs authorization_code or another grant type that the first refresh token comes from',
    );
  }
  if (!has('authorization_code') && (redirectUris.length > 0 || !signsPeopleIn)) {
    throw refuse('a client with redirect URIs needs the grant type authorization_code');
  }
  if (has('authorization_code') && redirectUris.length === 0) {
    throw refuse('authorization_code needs at least one redirect URI');
  }
  if (has('client_credentials') && isPublic(definition)) {
    throw refuse('a public client cannot prove who it is, so it may not use client_credentials');
  }
  if (scopes.includes('offline_access') && !has('refresh_token')) {
    throw refuse('offline_access is for clients with the grant type refresh_token');
  }
}

function checkAuthentication(definition: ClientDefinition): void {
  const { kind, authMethod, jwks, jwksUri, requirePkce } = definition;
  if (isPublic(definition) !== isPublicKind(kind)) {
    throw refuse(
      isPublicKind(kind)
        ? `a ${kind} client cannot keep a secret (RFC 6749 §2.1): its authentication method is none`
        : `a ${kind} client must authenticate: choose client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth or self_signed_tls_client_auth`,
    );
  }
  if (authMethod === 'private_key_jwt' && (jwks === undefined) === (jwksUri === undefined)) {
    throw refuse('private_key_jwt needs the public keys, as one of jwks and jwks_uri');
  }
  if (definition.tokenEndpointAuthSigningAlg !== undefined && authMethod !== 'private_key_jwt') {
    throw refuse(
      `token_endpoint_auth_signing_alg is for private_key_jwt, and this client uses ${authMethod}`,
    );
  }
  const mayHaveKeys = authMethod === 'private_key_jwt' || hasCertificate(definition) || needsKeys(definition);
  if (!mayHaveKeys && (jwks !== undefined || jwksUri !== undefined)) {
    throw refuse(
      `jwks and jwks_uri are for private_key_jwt, signed requests and encrypted answers, and this client, which uses ${authMethod}, has none of them`,
    );
  }
  if (jwks !== undefined && jwksUri !== undefined) throw refuse('give one of jwks and jwks_uri');
  if (jwks !== undefined) checkJwks(jwks);
  if (!requirePkce && isPublic(definition)) {
    throw refuse('a public client must use PKCE (RFC 9700 §2.1.1)');
  }
}

function checkPolicies(definition: ClientDefinition): void {
  const { consent, firstParty, requireRole, accessTokenTtlSeconds: ttl, contacts } = definition;
  if (consent === 'never' && !firstParty) {
    throw refuse('only a first-party client may go without consent; choose always or once');
  }
  if (requireRole !== undefined && !/^[a-z0-9:_./-]{1,64}$/.test(requireRole)) {
    throw refuse('the required role is no name of a role: 1 to 64 of a-z 0-9 : _ . / -');
  }
  if (ttl !== undefined && (!Number.isSafeInteger(ttl) || ttl < 30 || ttl > 86_400)) {
    throw refuse('an access token lives 30 to 86400 seconds');
  }
  if (contacts.length > 20 || !contacts.every((contact) => contact.length <= 254 && EMAIL.test(contact))) {
    throw refuse('contacts are at most 20 e-mail addresses');
  }
}

function oneOf(what: string, values: readonly string[], choices: readonly string[]): void {
  const stranger = values.find((value) => !choices.includes(value));
  if (stranger !== undefined) {
    throw refuse(`${JSON.stringify(stranger)} is no ${what}; choose from ${choices.join(', ')}`);
  }
}

function isPublicKind(kind: ClientKind): boolean {
  return kind === 'native' || kind === 'browser';
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

function sameList(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((value, index) => value === other[index]);
}

function withoutUndefined<T extends object>(input: T): T {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as T;
}

function refuse(advice: string): AppError {
  return new AppError('invalid_client', 400, `This client cannot be registered so: ${advice}.`);
}
