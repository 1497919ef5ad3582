create table clients (
  client_id text primary key check (client_id ~ '^[A-Za-z0-9][A-Za-z0-9._~:/@+-]{0,127}$'),
  name text not null,
  kind text not null check (kind in ('web', 'native', 'browser', 'machine')),
  first_party boolean not null,
  consent text not null check (consent in ('always', 'once', 'never')),
  require_pkce boolean not null,
  require_pushed_authorization_requests boolean not null,
  dpop_bound_access_tokens boolean not null,
  require_role text,
  require_mfa boolean not null,
  redirect_uris text[] not null,
  post_logout_redirect_uris text[] not null,
  grant_types text[] not null,
  token_endpoint_auth_method text not null
    check (token_endpoint_auth_method in ('client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none')),
  jwks jsonb,
  jwks_uri text,
  scopes text[] not null,
  id_token_alg text not null check (id_token_alg in ('RS256', 'ES256', 'EdDSA')),
  roles_claim_name text not null,
  roles_claim_prefix text,
  claims_in_id_token boolean not null,
  access_token_ttl_seconds integer,
  client_uri text,
  logo_uri text,
  policy_uri text,
  tos_uri text,
  initiate_login_uri text,
  contacts text[] not null,
  allowed_origins text[] not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  -- Whatever a service forgot, a public client never goes without PKCE, and never acts for itself.
  check (require_pkce or token_endpoint_auth_method <> 'none'),
  check (token_endpoint_auth_method <> 'none' or not ('client_credentials' = any (grant_types))),
  check (kind <> 'machine' or cardinality(redirect_uris) = 0)
);

-- At most two live at once; which of them are live depends on the time, so the service counts them.
create table client_secrets (
  id uuid primary key,
  client_id text not null references clients (client_id) on delete cascade,
  salt bytea not null,
  hash bytea not null check (octet_length(hash) = 32),
  created_at timestamptz not null,
  expires_at timestamptz
);

create index client_secrets_client_id on client_secrets (client_id);
