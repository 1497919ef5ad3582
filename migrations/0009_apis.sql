-- Resource servers (RFC 8707): what access tokens can be for. The identifier is the `aud` of their tokens and never changes.
create table apis (
  identifier text primary key check (identifier ~ '^[A-Za-z][A-Za-z0-9+.-]*:[\x21\x24-\x5B\x5D-\x7E]+$' and length(identifier) <= 500),
  name text not null,
  access_token_format text not null check (access_token_format in ('jwt', 'opaque')),
  access_token_ttl_seconds integer,
  signing_alg text not null check (signing_alg in ('RS256', 'ES256', 'EdDSA')),
  allow_offline_access boolean not null,
  -- The client that stands for the API: it may ask about tokens that are for it (RFC 7662).
  client_id text references clients (client_id) on delete set null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create index apis_client_id on apis (client_id);

-- The scopes of an API (RFC 6749 §3.3). Whoever was given one that is removed loses it, also where it is added again.
create table api_permissions (
  api text not null references apis (identifier) on delete cascade,
  name text not null check (name ~ '^[\x21\x23-\x5B\x5D-\x7E]{1,128}$'),
  description text not null,
  created_at timestamptz not null,
  primary key (api, name)
);

-- What people may do by their roles.
create table role_permissions (
  role_id uuid not null references roles (id) on delete cascade,
  api text not null,
  permission text not null,
  granted_at timestamptz not null,
  primary key (role_id, api, permission),
  foreign key (api, permission) references api_permissions (api, name) on delete cascade
);

create index role_permissions_api on role_permissions (api, permission);

-- What clients may do for themselves (RFC 6749 §4.4).
create table client_permissions (
  client_id text not null references clients (client_id) on delete cascade,
  api text not null,
  permission text not null,
  granted_at timestamptz not null,
  primary key (client_id, api, permission),
  foreign key (api, permission) references api_permissions (api, name) on delete cascade
);

create index client_permissions_api on client_permissions (api, permission);

-- What a person let a client do at an API, beside the scopes in `consents`.
create table consent_permissions (
  account_id uuid not null,
  client_id text not null,
  api text not null,
  permission text not null,
  granted_at timestamptz not null,
  primary key (account_id, client_id, api, permission),
  foreign key (account_id, client_id) references consents (account_id, client_id) on delete cascade,
  foreign key (api, permission) references api_permissions (api, name) on delete cascade
);

create index consent_permissions_api on consent_permissions (api, permission);
