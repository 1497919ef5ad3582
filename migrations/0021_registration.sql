-- Who may register clients (RFC 7591 §3): shown once, stored as a digest. A row stays when the token is used up or
-- revoked, for its policy goes on holding for what was registered by it.
create table registration_tokens (
  id uuid primary key,
  name text not null,
  digest text not null unique,
  policy jsonb not null check (jsonb_typeof(policy) = 'object'),
  max_uses integer check (max_uses > 0),
  uses integer not null default 0 check (uses >= 0 and (max_uses is null or uses <= max_uses)),
  created_at timestamptz not null,
  expires_at timestamptz,
  revoked_at timestamptz
);

-- The clients that registered themselves, and what proves that it is they who come back (RFC 7592 §2).
create table client_registrations (
  client_id text primary key references clients (client_id) on delete cascade,
  -- null: anybody could
  token_id uuid references registration_tokens (id),
  access_digest text not null,
  registered_at timestamptz not null,
  -- to the day, so that it is written once a day at most
  last_used_at timestamptz
);

create index client_registrations_token on client_registrations (token_id);
create index client_registrations_use on client_registrations ((coalesce(last_used_at, registered_at)));
