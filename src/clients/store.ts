import type { Queryable } from '../platform/database.ts';
import type { Client, ClientDefinition, ClientSecret } from './client.ts';
import { parseJwks } from './jwks.ts';
import { parseProtocolOptions, presentProtocolOptions } from './protocol-options.ts';

interface ClientRow {
  client_id: string;
  name: string;
  kind: Client['kind'];
  first_party: boolean;
  consent: Client['consent'];
  require_pkce: boolean;
  require_pushed_authorization_requests: boolean;
  dpop_bound_access_tokens: boolean;
  require_role: string | null;
  require_mfa: boolean;
  redirect_uris: string[];
  post_logout_redirect_uris: string[];
  grant_types: Client['grantTypes'][number][];
  token_endpoint_auth_method: Client['authMethod'];
  jwks: unknown;
  jwks_uri: string | null;
  scopes: string[];
  id_token_alg: Client['idTokenAlg'];
  roles_claim_name: string;
  roles_claim_prefix: string | null;
  claims_in_id_token: boolean;
  access_token_ttl_seconds: number | null;
  client_uri: string | null;
  logo_uri: string | null;
  policy_uri: string | null;
  tos_uri: string | null;
  initiate_login_uri: string | null;
  contacts: string[];
  allowed_origins: string[];
  backchannel_logout_uri: string | null;
  backchannel_logout_session_required: boolean;
  frontchannel_logout_uri: string | null;
  frontchannel_logout_session_required: boolean;
  ends_offline_grants: boolean | null;
  protocol_options: Record<string, unknown>;
  created_at: Date;
  updated_at: Date;
  secrets: SecretJson[];
  is_dynamic: boolean;
}

/** As `json_agg` makes it: bytes as hex after "\x", times as ISO 8601. */
interface SecretJson {
  id: string;
  salt: string;
  hash: string;
  created_at: string;
  expires_at: string | null;
}

const SELECT = `
  select clients.*, coalesce(
    (select json_agg(json_build_object(
       'id', id, 'salt', salt, 'hash', hash, 'created_at', created_at, 'expires_at', expires_at
     ) order by created_at, id)
     from client_secrets where client_secrets.client_id = clients.client_id), '[]') as secrets,
    exists (select 1 from client_registrations r where r.client_id = clients.client_id) as is_dynamic
  from clients`;

/** Everything an operator decides, by column. */
function columnsOf(definition: ClientDefinition): Record<string, unknown> {
  return {
    name: definition.name,
    kind: definition.kind,
    first_party: definition.firstParty,
    consent: definition.consent,
    require_pkce: definition.requirePkce,
    require_pushed_authorization_requests: definition.requirePushedAuthorizationRequests,
    dpop_bound_access_tokens: definition.dpopBoundAccessTokens,
    require_role: definition.requireRole,
    require_mfa: definition.requireMfa,
    redirect_uris: definition.redirectUris,
    post_logout_redirect_uris: definition.postLogoutRedirectUris,
    grant_types: definition.grantTypes,
    token_endpoint_auth_method: definition.authMethod,
    jwks: definition.jwks && JSON.stringify(definition.jwks),
    jwks_uri: definition.jwksUri,
    scopes: definition.scopes,
    id_token_alg: definition.idTokenAlg,
    roles_claim_name: definition.rolesClaim.name,
    roles_claim_prefix: definition.rolesClaim.prefix,
    claims_in_id_token: definition.claimsInIdToken,
    access_token_ttl_seconds: definition.accessTokenTtlSeconds,
    client_uri: definition.clientUri,
    logo_uri: definition.logoUri,
    policy_uri: definition.policyUri,
    tos_uri: definition.tosUri,
    initiate_login_uri: definition.initiateLoginUri,
    contacts: definition.contacts,
    allowed_origins: definition.allowedOrigins,
    backchannel_logout_uri: definition.backchannelLogoutUri,
    backchannel_logout_session_required: definition.backchannelLogoutSessionRequired,
    frontchannel_logout_uri: definition.frontchannelLogoutUri,
    frontchannel_logout_session_required: definition.frontchannelLogoutSessionRequired,
    ends_offline_grants: definition.endsOfflineGrants,
    protocol_options: JSON.stringify(presentProtocolOptions(definition)),
  };
}

export async function findClient(db: Queryable, clientId: string): Promise<Client | undefined> {
  const { rows } = await db.query<ClientRow>(`${SELECT} where client_id = $1`, [clientId]);
  return rows[0] && toClient(rows[0]);
}

/** Takes the row's lock, so that two changes of one client come one after the other. */
export async function lockClient(tx: Queryable, clientId: string): Promise<Client | undefined> {
  // Locked first and read after: what waited for the lock must see what the other one wrote.
  await tx.query('select 1 from clients where client_id = $1 for update', [clientId]);
  return findClient(tx, clientId);
}

export async function listClients(
  db: Queryable,
  { limit, after }: { limit?: number; after?: string },
): Promise<Client[]> {
  const { rows } = await db.query<ClientRow>(
    `${SELECT} where $1::text is null or client_id > $1 order by client_id limit $2`,
    [after, limit],
  );
  return rows.map(toClient);
}

export async function insertClient(
  tx: Queryable,
  clientId: string,
  definition: ClientDefinition,
  now: Date,
): Promise<void> {
  const columns = { client_id: clientId, ...columnsOf(definition), created_at: now, updated_at: now };
  const names = Object.keys(columns);
  await tx.query(
    `insert into clients (${names.join(', ')}) values (${names.map((_, index) => `$${index + 1}`).join(', ')})`,
    Object.values(columns),
  );
}

export async function updateClient(
  tx: Queryable,
  clientId: string,
  definition: ClientDefinition,
  now: Date,
): Promise<void> {
  const columns = { ...columnsOf(definition), updated_at: now };
  const assignments = Object.keys(columns).map((name, index) => `${name} = $${index + 2}`);
  await tx.query(`update clients set ${assignments.join(', ')} where client_id = $1`, [
    clientId,
    ...Object.values(columns),
  ]);
}

export async function touchClient(tx: Queryable, clientId: string, now: Date): Promise<void> {
  await tx.query('update clients set updated_at = $2 where client_id = $1', [clientId, now]);
}

export async function deleteClient(tx: Queryable, clientId: string): Promise<void> {
  await tx.query('delete from clients where client_id = $1', [clientId]);
}

export async function insertSecret(tx: Queryable, clientId: string, secret: ClientSecret): Promise<void> {
  await tx.query(
    `insert into client_secrets (id, client_id, salt, hash, created_at, expires_at)
     values ($1, $2, $3, $4, $5, $6)`,
    [secret.id, clientId, secret.salt, secret.hash, secret.createdAt, secret.expiresAt],
  );
}

/** Ends every secret of the client at that time, unless it ends sooner. */
export async function expireSecrets(tx: Queryable, clientId: string, at: Date): Promise<void> {
  await tx.query(
    `update client_secrets set expires_at = $2
     where client_id = $1 and (expires_at is null or expires_at > $2)`,
    [clientId, at],
  );
}

export async function deleteExpiredSecrets(tx: Queryable, clientId: string, now: Date): Promise<void> {
  await tx.query('delete from client_secrets where client_id = $1 and expires_at <= $2', [clientId, now]);
}

export async function deleteSecret(tx: Queryable, clientId: string, secretId: string): Promise<void> {
  await tx.query('delete from client_secrets where client_id = $1 and id = $2', [clientId, secretId]);
}

export async function deleteSecrets(tx: Queryable, clientId: string): Promise<void> {
  await tx.query('delete from client_secrets where client_id = $1', [clientId]);
}

function toClient(row: ClientRow): Client {
  return {
    clientId: row.client_id,
    name: row.name,
    kind: row.kind,
    firstParty: row.first_party,
    consent: row.consent,
    requirePkce: row.require_pkce,
    requirePushedAuthorizationRequests: row.require_pushed_authorization_requests,
    dpopBoundAccessTokens: row.dpop_bound_access_tokens,
    requireMfa: row.require_mfa,
    redirectUris: row.redirect_uris,
    postLogoutRedirectUris: row.post_logout_redirect_uris,
    grantTypes: row.grant_types,
    authMethod: row.token_endpoint_auth_method,
    scopes: row.scopes,
    idTokenAlg: row.id_token_alg,
    rolesClaim: {
      name: row.roles_claim_name,
      ...(row.roles_claim_prefix !== null && { prefix: row.roles_claim_prefix }),
    },
    claimsInIdToken: row.claims_in_id_token,
    contacts: row.contacts,
    allowedOrigins: row.allowed_origins,
    backchannelLogoutSessionRequired: row.backchannel_logout_session_required,
    frontchannelLogoutSessionRequired: row.frontchannel_logout_session_required,
    secrets: row.secrets.map(toSecret),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    ...parseProtocolOptions(row.protocol_options),
    ...(row.is_dynamic && { origin: 'dynamic' }),
    ...(row.jwks !== null && { jwks: parseJwks(row.jwks) }),
    ...(row.require_role !== null && { requireRole: row.require_role }),
    ...(row.jwks_uri !== null && { jwksUri: row.jwks_uri }),
    ...(row.access_token_ttl_seconds !== null && { accessTokenTtlSeconds: row.access_token_ttl_seconds }),
    ...(row.client_uri !== null && { clientUri: row.client_uri }),
    ...(row.logo_uri !== null && { logoUri: row.logo_uri }),
    ...(row.policy_uri !== null && { policyUri: row.policy_uri }),
    ...(row.tos_uri !== null && { tosUri: row.tos_uri }),
    ...(row.initiate_login_uri !== null && { initiateLoginUri: row.initiate_login_uri }),
    ...(row.backchannel_logout_uri !== null && { backchannelLogoutUri: row.backchannel_logout_uri }),
    ...(row.frontchannel_logout_uri !== null && { frontchannelLogoutUri: row.frontchannel_logout_uri }),
    ...(row.ends_offline_grants !== null && { endsOfflineGrants: row.ends_offline_grants }),
  };
}

function toSecret(json: SecretJson): ClientSecret {
  return {
    id: json.id,
    salt: Buffer.from(json.salt.slice(2), 'hex'),
    hash: Buffer.from(json.hash.slice(2), 'hex'),
    createdAt: new Date(json.created_at),
    ...(json.expires_at !== null && { expiresAt: new Date(json.expires_at) }),
  };
}
