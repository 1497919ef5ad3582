/**
 * Client metadata as a client writes them about itself (RFC 7591 §2, OIDC Registration §2): what we know is checked and
 * becomes a definition, the rest is passed over. Grant types and scopes are narrowed to what the policy gives, as §2
 * lets a server do and the answer tells; everything else that the policy does not allow is refused.
 */
import { z } from 'zod';

import { AppError } from '../../platform/errors.ts';
import { CLIENT_SCOPES, type AuthMethod, type Client, type ClientKind, type IdTokenAlg } from '../client.ts';
import type { DefinitionInput } from '../definition.ts';
import { MESSAGE_OPTION_NAMES } from '../message-algs.ts';
import { needsKeys } from '../message-options.ts';
import { type ProtocolOption, type ProtocolOptions, registeredName } from '../protocol-options.ts';
import { destinationOf } from '../redirect-uris.ts';
import { checkDestination, type RegistrationPolicy } from './policy.ts';

const text = z.string().max(2_048);
const texts = z.array(text).max(50);

const schema = z.object({
  redirect_uris: texts.default([]),
  post_logout_redirect_uris: texts.default([]),
  token_endpoint_auth_method: text.optional(),
  grant_types: texts.default(['authorization_code']),
  response_types: texts.optional(),
  application_type: z.enum(['web', 'native']).optional(),
  client_name: text.optional(),
  client_uri: text.optional(),
  logo_uri: text.optional(),
  policy_uri: text.optional(),
  tos_uri: text.optional(),
  initiate_login_uri: text.optional(),
  contacts: texts.optional(),
  scope: z.string().max(4_000).optional(),
  jwks: z.object({ keys: z.array(z.record(z.string(), z.unknown())).max(20) }).optional(),
  jwks_uri: text.optional(),
  id_token_signed_response_alg: text.optional(),
  require_pushed_authorization_requests: z.boolean().optional(),
  dpop_bound_access_tokens: z.boolean().optional(),
  default_max_age: z.number().optional(),
  default_acr_values: texts.optional(),
  backchannel_logout_uri: text.optional(),
  backchannel_logout_session_required: z.boolean().optional(),
  frontchannel_logout_uri: text.optional(),
  frontchannel_logout_session_required: z.boolean().optional(),
});
type Metadata = z.infer<typeof schema>;

/** Checked with the rest of a client's options (protocol-options.ts), for they are the same. */
export const REGISTRABLE_OPTIONS = [
  ...MESSAGE_OPTION_NAMES,
  'tokenEndpointAuthSigningAlg',
  'tlsClientCertificateBoundAccessTokens',
  'subjectType',
] as const satisfies readonly ProtocolOption[];
type Options = Pick<ProtocolOptions, (typeof REGISTRABLE_OPTIONS)[number]>;

/** Where we send people for the client, or ask it, besides its redirect URIs: refused beyond its hosts. */
const ADDRESSES = ['initiate_login_uri', 'backchannel_logout_uri', 'frontchannel_logout_uri'] as const;

/**
 * What the client asks to be, under the policy; `defineClient` has the last word on it.
 *
 * @param kind given where the client is registered already: it does not change
 * @param pageHosts where its pages may be, which people meet on ours as links: as `redirectHosts`, which they are
 *   unless given. Its home page and the like are left out where they are elsewhere
 * @throws AppError `invalid_client_metadata`, `invalid_redirect_uri`, `unapproved_software_statement` (400)
 */
export function definitionFrom(
  presented: unknown,
  policy: RegistrationPolicy,
  {
    kind: formerKind,
    pageHosts = policy.redirectHosts,
  }: { kind?: ClientKind; pageHosts?: readonly string[] } = {},
): DefinitionInput {
  const { metadata, options } = parse(presented);
  const kind = formerKind ?? kindOf(metadata);
  if (kind !== 'native' && kindOf(metadata) === 'native') {
    throw refuse(
      'it would become an installed application, of which people are asked each time; register it anew',
    );
  }
  const authMethod = authMethodOf(metadata, kind, policy, options);
  const hasKeys = authMethod === 'private_key_jwt' || needsKeys(options);
  if (!policy.kinds.includes(kind)) throw refuse(`no ${kind} client may register itself here`);
  if (metadata.response_types?.some((type) => type !== 'code')) {
    throw refuse('the only response type is code');
  }
  for (const uri of [...metadata.redirect_uris, ...metadata.post_logout_redirect_uris]) {
    checkDestination(uri, policy);
  }
  for (const name of ADDRESSES) {
    const uri = metadata[name];
    if (uri !== undefined) checkAddress(name, uri, pageHosts);
  }
  const grantTypes = policy.grantTypes.filter((type) => metadata.grant_types.includes(type));
  if (!grantTypes.includes(kind === 'machine' ? 'client_credentials' : 'authorization_code')) {
    throw refuse(
      kind === 'machine'
        ? 'a client without redirect URIs needs the grant type client_credentials, and it must be permitted here'
        : 'a client with redirect URIs needs the grant type authorization_code, and it must be permitted here',
    );
  }
  return {
    name: nameOf(metadata),
    kind,
    firstParty: false,
    consent: 'once',
    requirePkce: true,
    authMethod,
    grantTypes,
    redirectUris: metadata.redirect_uris,
    postLogoutRedirectUris: metadata.post_logout_redirect_uris,
    scopes: scopesOf(metadata, kind, grantTypes, policy),
    ...present({
      clientUri: pageAt(metadata.client_uri, pageHosts),
      logoUri: pageAt(metadata.logo_uri, pageHosts),
      policyUri: pageAt(metadata.policy_uri, pageHosts),
      tosUri: pageAt(metadata.tos_uri, pageHosts),
      initiateLoginUri: metadata.initiate_login_uri,
      contacts: metadata.contacts,
      jwks: hasKeys ? metadata.jwks : undefined,
      jwksUri: hasKeys ? metadata.jwks_uri : undefined,
      idTokenAlg: metadata.id_token_signed_response_alg as IdTokenAlg | undefined,
      requirePushedAuthorizationRequests: metadata.require_pushed_authorization_requests,
      dpopBoundAccessTokens: metadata.dpop_bound_access_tokens,
      defaultMaxAge: metadata.default_max_age,
      defaultAcrValues: metadata.default_acr_values as ('aal1' | 'aal2')[] | undefined,
      backchannelLogoutUri: metadata.backchannel_logout_uri,
      backchannelLogoutSessionRequired: metadata.backchannel_logout_session_required,
      frontchannelLogoutUri: metadata.frontchannel_logout_uri,
      frontchannelLogoutSessionRequired: metadata.frontchannel_logout_session_required,
    }),
    ...forMethod(options, authMethod),
  };
}

/** The client as it is told about itself (RFC 7591 §3.2.1). Its secret is not among what is known of it. */
export function presentMetadata(client: Client): Record<string, unknown> {
  return present({
    client_id: client.clientId,
    client_id_issued_at: Math.floor(client.createdAt.getTime() / 1000),
    client_name: client.name,
    application_type: client.kind === 'native' ? 'native' : 'web',
    redirect_uris: client.redirectUris,
    post_logout_redirect_uris: client.postLogoutRedirectUris,
    grant_types: client.grantTypes,
    response_types: client.grantTypes.includes('authorization_code') ? ['code'] : [],
    token_endpoint_auth_method: client.authMethod,
    scope: client.scopes.length > 0 ? client.scopes.join(' ') : undefined,
    client_uri: client.clientUri,
    logo_uri: client.logoUri,
    policy_uri: client.policyUri,
    tos_uri: client.tosUri,
    initiate_login_uri: client.initiateLoginUri,
    contacts: client.contacts.length > 0 ? client.contacts : undefined,
    jwks: client.jwks,
    jwks_uri: client.jwksUri,
    id_token_signed_response_alg: client.idTokenAlg,
    require_pushed_authorization_requests: client.requirePushedAuthorizationRequests,
    dpop_bound_access_tokens: client.dpopBoundAccessTokens,
    default_max_age: client.defaultMaxAge,
    default_acr_values: client.defaultAcrValues,
    backchannel_logout_uri: client.backchannelLogoutUri,
    backchannel_logout_session_required:
      client.backchannelLogoutUri === undefined ? undefined : client.backchannelLogoutSessionRequired,
    frontchannel_logout_uri: client.frontchannelLogoutUri,
    frontchannel_logout_session_required:
      client.frontchannelLogoutUri === undefined ? undefined : client.frontchannelLogoutSessionRequired,
    ...Object.fromEntries(REGISTRABLE_OPTIONS.map((option) => [registeredName(option), client[option]])),
    subject_type: client.kind === 'machine' ? undefined : (client.subjectType ?? 'public'),
  });
}

function parse(presented: unknown): { metadata: Metadata; options: Options } {
  if (typeof presented !== 'object' || presented === null || Array.isArray(presented)) {
    throw refuse('the body is one JSON object');
  }
  // RFC 7592 §2.2: null and absent are the same.
  const given = Object.fromEntries(Object.entries(presented).filter(([, value]) => value !== null));
  if ('software_statement' in given) {
    throw new AppError(
      'unapproved_software_statement',
      400,
      'Software statements are not supported here: nobody’s are trusted.',
    );
  }
  // No text of PostgreSQL's holds them, wherever they stand.
  if (/\\u(?:0000|d[89a-f][0-9a-f]{2})/i.test(JSON.stringify(given))) {
    throw refuse('it holds zeros, or halves of characters');
  }
  if (given['subject_type'] === 'pairwise' && given['sector_identifier_uri'] !== undefined) {
    throw refuse(
      'sector_identifier_uri is for clients that an operator registers; here the sector is the one host',
    );
  }
  const options = Object.fromEntries(
    REGISTRABLE_OPTIONS.map((option) => [option, given[registeredName(option)]]).filter(
      ([, value]) => value !== undefined,
    ),
  ) as Options;
  const result = schema.safeParse(given);
  if (result.success) return { metadata: result.data, options };
  const [issue] = result.error.issues;
  throw refuse(`${issue?.path.join('.')} is not right (${issue?.message})`);
}

/**
 * A client that people come back to on their own machine is an installed one, whatever it says: nobody can assure that
 * it is the one that it claims to be (RFC 8252 §8.6), so people are asked each time.
 */
function kindOf({
  redirect_uris: uris,
  application_type: type,
  token_endpoint_auth_method: method,
}: Metadata): ClientKind {
  if (uris.length === 0) return 'machine';
  const isLocal = uris.some((uri) => destinationOf(uri) !== 'https');
  const isConfidential = method !== undefined && method !== 'none';
  if (isConfidential && type !== 'native') return 'web';
  if (type === 'native' || isLocal) return 'native';
  return method === 'none' ? 'browser' : 'web';
}

/** RFC 7591 §2: `client_secret_basic` where nothing is said; a client that can keep nothing secret gets none. */
function authMethodOf(
  { token_endpoint_auth_method: asked, jwks, jwks_uri: jwksUri }: Metadata,
  kind: ClientKind,
  { authMethods }: RegistrationPolicy,
  options: Options,
): AuthMethod {
  // Those that are there for something else say nothing of how it authenticates.
  const hasKeys = (jwks !== undefined || jwksUri !== undefined) && !needsKeys(options);
  const isPublicKind = kind === 'native' || kind === 'browser';
  const method = asked ?? (isPublicKind ? 'none' : hasKeys ? 'private_key_jwt' : 'client_secret_basic');
  const permitted = authMethods.find((one) => one === method);
  if (permitted) return permitted;
  throw refuse(
    `token_endpoint_auth_method ${JSON.stringify(method.slice(0, 60))} is not for clients that register themselves here; choose from ${authMethods.join(', ')}`,
  );
}

/** Some libraries always name the algorithm of assertions; where the client makes none it means nothing. */
function forMethod(
  { tokenEndpointAuthSigningAlg: alg, ...options }: Options,
  authMethod: AuthMethod,
): Options {
  const isMeant = authMethod === 'private_key_jwt' && alg !== undefined;
  return isMeant ? { ...options, tokenEndpointAuthSigningAlg: alg } : options;
}

function scopesOf(
  { scope }: Metadata,
  kind: ClientKind,
  grantTypes: readonly string[],
  policy: RegistrationPolicy,
): string[] {
  if (kind === 'machine') return [];
  const asked = scope?.split(' ').filter(Boolean) ?? CLIENT_SCOPES;
  return CLIENT_SCOPES.filter(
    (name) =>
      policy.scopes.includes(name) &&
      (asked as readonly string[]).includes(name) &&
      (name !== 'offline_access' || grantTypes.includes('refresh_token')),
  );
}

function nameOf({ client_name: name, redirect_uris: [uri] }: Metadata): string {
  if (name !== undefined) return name;
  return (uri !== undefined && URL.parse(uri)?.host) || 'An application without a name';
}

function pageAt(uri: string | undefined, redirectHosts: readonly string[]): string | undefined {
  try {
    if (uri !== undefined) checkDestination(uri, { redirectHosts });
    return uri;
  } catch {
    return undefined;
  }
}

/** RFC 7591 §3.2.2 has a code of its own for redirect URIs only. */
function checkAddress(name: string, uri: string, redirectHosts: readonly string[]): void {
  try {
    checkDestination(uri, { redirectHosts });
  } catch (error) {
    throw refuse(`${name} leads where clients that register themselves may not lead to here`, error);
  }
}

function present<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

function refuse(advice: string, cause?: unknown): AppError {
  return new AppError('invalid_client_metadata', 400, `The client cannot be registered so: ${advice}.`, {
    cause,
  });
}
