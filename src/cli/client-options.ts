import { Option, type Command } from 'commander';

import {
  AUTH_METHODS,
  CLIENT_SCOPES,
  CONSENT_POLICIES,
  GRANT_TYPES,
  ID_TOKEN_ALGS,
  type AuthMethod,
  type ClientDefinition,
  type ConsentPolicy,
  type GrantType,
  type IdTokenAlg,
  type Jwks,
} from '../clients/client.ts';
import { jwksOfCertificates } from '../clients/mutual-tls.ts';
import { AppError } from '../platform/errors.ts';
import { misuse } from './failure.ts';
import { parseDuration, readGiven } from './input.ts';
import {
  addProtocolOptions,
  CLEARABLE_OPTIONS,
  readProtocolOptions,
  type ProtocolOptionsGiven,
} from './protocol-options.ts';

/** What `clients create` and `clients update` share, as commander gives it. */
export interface DefinitionOptions extends ProtocolOptionsGiven {
  redirectUri?: string[];
  postLogoutRedirectUri?: string[];
  grantType?: GrantType[];
  scope?: string[];
  authMethod?: AuthMethod;
  jwksFile?: string;
  jwksUri?: string;
  firstParty?: boolean;
  consent?: ConsentPolicy;
  requireRole?: string;
  requireMfa?: boolean;
  pkce?: boolean;
  parRequired?: boolean;
  dpopBound?: boolean;
  idTokenAlg?: IdTokenAlg;
  rolesClaim?: string;
  rolesPrefix?: string;
  claimsInIdToken?: boolean;
  accessTokenTtl?: number;
  allowedOrigin?: string[];
  clientUri?: string;
  initiateLoginUri?: string;
  logoUri?: string;
  policyUri?: string;
  tosUri?: string;
  contact?: string[];
  backchannelLogoutUri?: string;
  backchannelLogoutSession?: boolean;
  frontchannelLogoutUri?: string;
  frontchannelLogoutSession?: boolean;
  signOutEndsOffline?: boolean;
}

/** The options that may be taken back, by the name that `--clear` takes. */
const CLEARABLE = {
  'require-role': 'requireRole',
  'roles-prefix': 'rolesClaim',
  'access-token-ttl': 'accessTokenTtlSeconds',
  jwks: 'jwks',
  'jwks-uri': 'jwksUri',
  'client-uri': 'clientUri',
  'initiate-login-uri': 'initiateLoginUri',
  'logo-uri': 'logoUri',
  'policy-uri': 'policyUri',
  'tos-uri': 'tosUri',
  'post-logout-redirect-uri': 'postLogoutRedirectUris',
  scope: 'scopes',
  contact: 'contacts',
  'allowed-origin': 'allowedOrigins',
  'backchannel-logout-uri': 'backchannelLogoutUri',
  'frontchannel-logout-uri': 'frontchannelLogoutUri',
  'sign-out-ends-offline': 'endsOfflineGrants',
} as const;

const LISTS: ReadonlySet<string> = new Set([
  'postLogoutRedirectUris',
  'scopes',
  'contacts',
  'allowedOrigins',
]);

export const CLEARABLE_NAMES = [...Object.keys(CLEARABLE), ...Object.keys(CLEARABLE_OPTIONS)];

/** @param isUpdate whether what was switched on before can be switched off */
export function addDefinitionOptions(command: Command, { isUpdate = false } = {}): Command {
  command
    .option('--redirect-uri <uri...>', 'where people come back to after signing in')
    .option('--post-logout-redirect-uri <uri...>', 'where they come back to after signing out')
    .addOption(new Option('--grant-type <type...>', 'how it gets tokens').choices(GRANT_TYPES))
    .option('--scope <scope...>', `what it may ask for, of ${CLIENT_SCOPES.join(' ')}`)
    .addOption(
      new Option('--auth-method <method>', 'how it authenticates at the token endpoint').choices(
        AUTH_METHODS,
      ),
    )
    .option('--jwks-file <file>', 'its public keys: a file with a JSON Web Key Set, or certificates in PEM')
    .option('--jwks-uri <uri>', 'where it publishes them, instead')
    .option('--first-party', 'it is our own: people are not asked for consent')
    .addOption(new Option('--consent <when>', 'when people are asked').choices(CONSENT_POLICIES))
    .option('--require-role <role>', 'nobody gets in without this role')
    .option('--require-mfa', 'nobody gets in without a second factor')
    .option('--par-required', 'authorization requests must be pushed (RFC 9126)')
    .option('--dpop-bound', 'access tokens must be bound to a key (RFC 9449)')
    .addOption(new Option('--id-token-alg <alg>', 'what signs its ID tokens').choices(ID_TOKEN_ALGS))
    .option('--roles-claim <name>', 'the claim that carries roles: groups, realm_access.roles, a URI')
    .option('--roles-prefix <prefix>', 'only roles whose name begins so')
    .option('--claims-in-id-token', 'put every granted claim into the ID token (Kubernetes, Argo CD, Vault)')
    .option('--access-token-ttl <duration>', 'the life of its access tokens: 300, 10m', parseDuration)
    .option('--allowed-origin <origin...>', 'web origins that may call the token endpoint (browser clients)')
    .option('--client-uri <uri>', 'its home page')
    .option('--initiate-login-uri <uri>', 'where a sign-in can be started anew')
    .option('--logo-uri <uri>', 'its logo')
    .option('--policy-uri <uri>', 'its privacy notice')
    .option('--tos-uri <uri>', 'its terms of use')
    .option('--contact <address...>', 'e-mail addresses of those responsible')
    .option('--backchannel-logout-uri <uri>', 'where its server is told of sign-outs')
    .option('--frontchannel-logout-uri <uri>', 'the page of it that a browser loads when it signs out')
    .option('--sign-out-ends-offline', 'signing out ends its offline access as well')
    .option('--no-sign-out-ends-offline', 'signing out leaves its offline access, whatever the settings say');
  if (isUpdate) {
    command
      .option('--no-first-party', 'it is somebody else’s')
      .option('--no-require-mfa', 'leave second factors to roles')
      .option('--pkce', 'require PKCE')
      .option('--no-par-required', 'requests need not be pushed')
      .option('--no-dpop-bound', 'access tokens need not be bound')
      .option('--no-claims-in-id-token', 'leave claims to userinfo')
      .option('--backchannel-logout-session', 'tell it which session ended')
      .option('--frontchannel-logout-session', 'load its page with issuer and session');
  }
  addProtocolOptions(command);
  // Last: a `--no-…` without its counterpart before it would count as given.
  return command
    .option('--no-backchannel-logout-session', 'tell it the person only: all their sessions there end')
    .option('--no-frontchannel-logout-session', 'load that page without issuer and session')
    .option(
      '--no-pkce',
      'do not require PKCE, for a confidential client that cannot; `clients list` flags it',
    );
}

/** What the options say about a client, what is not said left out. */
export async function readDefinition(
  options: DefinitionOptions,
  before?: ClientDefinition,
): Promise<Partial<ClientDefinition>> {
  const { rolesClaim, rolesPrefix } = options;
  return withoutUndefined({
    ...(await readProtocolOptions(options)),
    redirectUris: options.redirectUri,
    postLogoutRedirectUris: options.postLogoutRedirectUri,
    grantTypes: options.grantType,
    scopes: options.scope?.flatMap((scope) => scope.split(' ').filter((word) => word !== '')),
    authMethod: options.authMethod,
    jwks: options.jwksFile === undefined ? undefined : await readJwks(options.jwksFile),
    jwksUri: options.jwksUri,
    firstParty: options.firstParty,
    consent: options.consent,
    requireRole: options.requireRole,
    requireMfa: options.requireMfa,
    requirePkce: options.pkce,
    requirePushedAuthorizationRequests: options.parRequired,
    dpopBoundAccessTokens: options.dpopBound,
    idTokenAlg: options.idTokenAlg,
    rolesClaim:
      rolesClaim === undefined && rolesPrefix === undefined
        ? undefined
        : withoutUndefined({
            name: rolesClaim ?? before?.rolesClaim.name ?? 'roles',
            prefix: rolesPrefix ?? before?.rolesClaim.prefix,
          }),
    claimsInIdToken: options.claimsInIdToken,
    accessTokenTtlSeconds: options.accessTokenTtl,
    allowedOrigins: options.allowedOrigin,
    clientUri: options.clientUri,
    initiateLoginUri: options.initiateLoginUri,
    logoUri: options.logoUri,
    policyUri: options.policyUri,
    tosUri: options.tosUri,
    contacts: options.contact,
    backchannelLogoutUri: options.backchannelLogoutUri,
    backchannelLogoutSessionRequired: options.backchannelLogoutSession,
    frontchannelLogoutUri: options.frontchannelLogoutUri,
    frontchannelLogoutSessionRequired: options.frontchannelLogoutSession,
    endsOfflineGrants: options.signOutEndsOffline,
  });
}

/**
 * The changes that take options back.
 *
 * @throws AppError `misused` for a name that cannot be cleared
 */
export function readClearing(
  names: readonly string[],
  rolesClaim: ClientDefinition['rolesClaim'],
): Record<string, unknown> {
  return Object.fromEntries(
    names.map((name) => {
      if (Object.hasOwn(CLEARABLE_OPTIONS, name)) return [CLEARABLE_OPTIONS[name], null];
      if (!isClearable(name)) {
        throw misuse(`${JSON.stringify(name)} cannot be cleared; choose from ${CLEARABLE_NAMES.join(', ')}.`);
      }
      const property = CLEARABLE[name];
      if (property === 'rolesClaim') return [property, { name: rolesClaim.name }];
      return [property, LISTS.has(property) ? [] : null];
    }),
  );
}

function isClearable(name: string): name is keyof typeof CLEARABLE {
  return Object.hasOwn(CLEARABLE, name);
}

async function readJwks(file: string): Promise<Jwks> {
  const text = (await readGiven(file)).toString();
  if (text.includes('-----BEGIN CERTIFICATE-----')) return jwksOfCertificates(text);
  try {
    return JSON.parse(text) as Jwks;
  } catch (cause) {
    throw new AppError('not_json', 400, `The file ${file} is not JSON.`, { cause });
  }
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function withoutUndefined<T extends object>(input: T): Defined<T> & Pick<T, RequiredKeys<T>> {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as never;
}

type RequiredKeys<T> = { [K in keyof T]-?: undefined extends T[K] ? never : K }[keyof T];
