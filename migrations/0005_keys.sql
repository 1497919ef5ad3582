create table signing_keys (
  kid text primary key,
  alg text not null check (alg in ('RS256', 'ES256', 'EdDSA')),
  public_jwk jsonb not null,
  -- Sealed with the context key:<kid>; emptied when the key has left the JWKS.
  private_jwk_sealed text,
  created_at timestamptz not null,
  -- Signs from here …
  activates_at timestamptz not null,
  -- … to here (null: until another follows), and is published until removes_at.
  retires_at timestamptz,
  removes_at timestamptz,
  check ((retires_at is null) = (removes_at is null)),
  check (removes_at >= retires_at)
);

-- One key of each algorithm has no end yet: however many processes start or rotate at once.
create unique index signing_keys_one_open on signing_keys (alg) where retires_at is null;

create table cookie_keys (
  id uuid primary key,
  -- Sealed with the context cookie-key:<id>.
  secret_sealed text not null,
  created_at timestamptz not null,
  activates_at timestamptz not null,
  removes_at timestamptz
);
