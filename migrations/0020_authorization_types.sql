-- Types of authorization details (RFC 9396 §2): what can be asked for at an API in more words than a permission has. The
-- name is the `type` of requests and tokens, and never changes.
create table authorization_types (
  type text primary key check (type ~ '^[\x21\x23-\x5B\x5D-\x7E]{1,200}$'),
  api text not null references apis (identifier) on delete cascade,
  -- What people read: "Make a payment".
  name text not null,
  -- Which fields a detail has and how each is shown; read whole and never searched.
  fields jsonb not null check (jsonb_typeof(fields) = 'array'),
  -- Whether a person who allowed exactly the same before need not be asked again.
  is_remembered boolean not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create index authorization_types_api on authorization_types (api);

-- What a person let a client do in exactly these words, where the type allows to remember it.
create table consent_details (
  account_id uuid not null,
  client_id text not null,
  type text not null references authorization_types (type) on delete cascade,
  -- Of the detail in its canonical form.
  digest text not null,
  detail jsonb not null,
  granted_at timestamptz not null,
  primary key (account_id, client_id, digest),
  foreign key (account_id, client_id) references consents (account_id, client_id) on delete cascade
);

create index consent_details_type on consent_details (type);
