-- How often clients ask whether a person has decided (RFC 8628 §3.5), where no Redis is configured. Unlogged: after a
-- crash of the database everybody may ask at once again.
create unlogged table oidc_polls (
  key_digest text primary key,
  interval_ms integer not null,
  polled_at timestamptz not null,
  is_early boolean not null,
  expires_at timestamptz not null
);

create index oidc_polls_expiry on oidc_polls (expires_at);
