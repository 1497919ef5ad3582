-- What a person let a client do, for clients that ask once. The grants themselves expire and live beside the tokens.
create table consents (
  account_id uuid not null references accounts (id) on delete cascade,
  client_id text not null references clients (client_id) on delete cascade,
  scopes text[] not null,
  granted_at timestamptz not null,
  primary key (account_id, client_id)
);
