import { adviceOn } from '../clients/advice.ts';
import type { Client } from '../clients/client.ts';
import { presentProtocolOptions } from '../clients/protocol-options.ts';
import { liveSecrets } from '../clients/secrets.ts';
import { formatFields, formatTable, formatTime, yesOrNo } from './output.ts';
import { CLEARABLE_OPTIONS } from './protocol-options.ts';

/** A client for machines; its secrets by what may be known of them. */
export function presentClient(client: Client): object {
  return {
    client_id: client.clientId,
    registered_by: client.origin === 'dynamic' ? 'itself' : 'operator',
    name: client.name,
    kind: client.kind,
    first_party: client.firstParty,
    consent: client.consent,
    redirect_uris: client.redirectUris,
    post_logout_redirect_uris: client.postLogoutRedirectUris,
    grant_types: client.grantTypes,
    scopes: client.scopes,
    auth_method: client.authMethod,
    jwks: client.jwks ?? null,
    jwks_uri: client.jwksUri ?? null,
    require_pkce: client.requirePkce,
    require_role: client.requireRole ?? null,
    require_mfa: client.requireMfa,
    require_pushed_authorization_requests: client.requirePushedAuthorizationRequests,
    dpop_bound_access_tokens: client.dpopBoundAccessTokens,
    id_token_alg: client.idTokenAlg,
    roles_claim: client.rolesClaim.name,
    roles_prefix: client.rolesClaim.prefix ?? null,
    claims_in_id_token: client.claimsInIdToken,
    access_token_ttl_seconds: client.accessTokenTtlSeconds ?? null,
    allowed_origins: client.allowedOrigins,
    client_uri: client.clientUri ?? null,
    initiate_login_uri: client.initiateLoginUri ?? null,
    logo_uri: client.logoUri ?? null,
    policy_uri: client.policyUri ?? null,
    tos_uri: client.tosUri ?? null,
    contacts: client.contacts,
    backchannel_logout_uri: client.backchannelLogoutUri ?? null,
    backchannel_logout_session_required: client.backchannelLogoutSessionRequired,
    frontchannel_logout_uri: client.frontchannelLogoutUri ?? null,
    frontchannel_logout_session_required: client.frontchannelLogoutSessionRequired,
    sign_out_ends_offline: client.endsOfflineGrants ?? null,
    ...presentProtocolOptions(client),
    secrets: client.secrets.map(({ id, createdAt, expiresAt }) => ({
      id,
      created_at: createdAt,
      expires_at: expiresAt ?? null,
    })),
    warnings: adviceOn(client),
    created_at: client.createdAt,
    updated_at: client.updatedAt,
  };
}

export function formatClients(clients: readonly Client[]): string {
  return formatTable(
    ['CLIENT ID', 'NAME', 'KIND', 'GRANTS', 'CREATED (UTC)', 'FLAGS'],
    clients.map((client) => [
      client.clientId,
      client.name,
      client.firstParty ? `${client.kind}, first-party` : client.kind,
      client.grantTypes.join(' '),
      formatTime(client.createdAt),
      [client.requirePkce ? '' : 'PKCE LIFTED', client.origin === 'dynamic' ? 'registered itself' : '']
        .filter(Boolean)
        .join(', '),
    ]),
  );
}

export function formatClient(client: Client, now: Date): string {
  const live = liveSecrets(client, now);
  return formatFields([
    ['Client id', client.clientId],
    ['Registered', client.origin === 'dynamic' ? 'by itself' : undefined],
    ['Name', client.name],
    ['Kind', client.firstParty ? `${client.kind}, first-party` : client.kind],
    ['Redirect URIs', client.redirectUris],
    ['After signing out', client.postLogoutRedirectUris],
    ['Grant types', client.grantTypes.join(' ')],
    ['Scopes', client.scopes.join(' ') || 'none'],
    ['Authentication', client.authMethod],
    [
      'Keys',
      client.jwksUri ??
        client.jwks?.keys.map(({ kid, kty }) =>
          [kty, kid].filter((part) => typeof part === 'string').join(' '),
        ),
    ],
    ['Consent', client.consent],
    ['PKCE', client.requirePkce ? 'required' : 'LIFTED'],
    ['Role', client.requireRole === undefined ? undefined : `${client.requireRole} required`],
    ['Second factor', client.requireMfa ? 'required' : undefined],
    ['Pushed requests', client.requirePushedAuthorizationRequests ? 'required' : undefined],
    ['DPoP', client.dpopBoundAccessTokens ? 'required' : undefined],
    ['ID tokens', client.idTokenAlg],
    ['Roles claim', client.rolesClaim.name],
    ['Roles prefix', client.rolesClaim.prefix],
    ['All claims in it', yesOrNo(client.claimsInIdToken)],
    [
      'Access tokens',
      client.accessTokenTtlSeconds === undefined ? undefined : `${client.accessTokenTtlSeconds} s`,
    ],
    ['Origins', client.allowedOrigins],
    ['Home page', client.clientUri],
    ['Starts at', client.initiateLoginUri],
    ['Logo', client.logoUri],
    ['Privacy notice', client.policyUri],
    ['Terms of use', client.tosUri],
    ['Contacts', client.contacts],
    [
      'Told of sign-outs',
      logoutAddress(client.backchannelLogoutUri, client.backchannelLogoutSessionRequired),
    ],
    ['Loaded at them', logoutAddress(client.frontchannelLogoutUri, client.frontchannelLogoutSessionRequired)],
    [
      'Offline access',
      client.endsOfflineGrants === undefined
        ? undefined
        : client.endsOfflineGrants
          ? 'ends at a sign-out'
          : 'outlives a sign-out',
    ],
    ['Further options', furtherOptions(client)],
    [
      'Secrets',
      live.map(({ id, createdAt, expiresAt }) => {
        const end = expiresAt ? `, ends ${formatTime(expiresAt)} UTC` : '';
        return `${id} (made ${formatTime(createdAt)} UTC${end})`;
      }),
    ],
    ['Created', `${formatTime(client.createdAt)} UTC`],
    ['Changed', `${formatTime(client.updatedAt)} UTC`],
    ['Mind', adviceOn(client)],
  ]);
}

/** As they are given, or taken back by `--clear`. */
function furtherOptions(client: Client): string[] {
  return Object.entries(CLEARABLE_OPTIONS).flatMap(([name, property]) => {
    const value = client[property];
    if (value === undefined) return [];
    if (typeof value === 'boolean') return [value ? `--${name}` : `--no-${name}`];
    return [`--${name} ${[value].flat().join(' ')}`];
  });
}

function logoutAddress(uri: string | undefined, isSessionNamed: boolean): string | undefined {
  if (uri === undefined) return undefined;
  return isSessionNamed ? uri : `${uri} (of the person, not the session)`;
}
