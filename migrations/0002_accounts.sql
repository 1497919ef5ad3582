create table accounts (
  id uuid primary key,
  -- What relying parties know the person by: random, opaque, never used again.
  sub text not null,
  email text not null,
  -- Made in code (src/accounts/identifier.ts): lower() depends on the locale.
  email_normalised text not null,
  email_verified boolean not null default false,
  username text,
  username_normalised text,
  name text,
  -- A PHC string. Every account's hashing cost counts for everybody's sign-in: see password_parameters.
  password_hash text,
  password_parameters text generated always as (split_part(password_hash, '$', 4)) stored,
  password_changed_at timestamptz,
  -- Still the first administrator's password, which was printed at the first start.
  password_is_printed boolean not null default false,
  disabled_at timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint accounts_sub_unique unique (sub),
  constraint accounts_email_unique unique (email_normalised),
  constraint accounts_username_unique unique (username_normalised),
  constraint accounts_sub_form check (sub ~ '^[\x21-\x7e]{1,255}$'),
  constraint accounts_username_whole check ((username is null) = (username_normalised is null)),
  -- A user name that looks like an e-mail address could stand for somebody else's.
  constraint accounts_username_form check (username_normalised not like '%@%'),
  constraint accounts_email_form check (email_normalised like '%_@_%'),
  constraint accounts_password_form check (
    password_hash ~ '^\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$'
  )
);

-- The distinct sets of parameters in use are read by skipping from one to the next.
create index accounts_password_parameters on accounts (password_parameters) where password_parameters is not null;
create index accounts_printed_password on accounts (id) where password_is_printed;

-- The key of an authenticator app; one to an account.
create table totp (
  account_id uuid primary key references accounts (id) on delete cascade,
  -- Sealed with the context "totp:<account id>".
  secret text not null,
  -- Null until a code confirmed it; it counts for nothing before.
  confirmed_at timestamptz,
  -- The newest time step that was accepted (RFC 6238 §5.2: each is spent once).
  last_step bigint,
  created_at timestamptz not null
);

-- The key of the digests below, sealed with the context "recovery:<account id>", so that the sealing key can be replaced.
create table recovery_keys (
  account_id uuid primary key references accounts (id) on delete cascade,
  secret text not null
);

create table recovery_codes (
  account_id uuid not null references accounts (id) on delete cascade,
  -- HMAC-SHA-256 of the code: it has 60 random bits, so a slow hash would add nothing.
  digest text not null,
  created_at timestamptz not null,
  used_at timestamptz,
  primary key (account_id, digest)
);
