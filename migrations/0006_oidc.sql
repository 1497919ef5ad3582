-- What the protocol keeps for a while, where no Redis is configured. Logged tables: a code that was spent must still
-- be spent after a crash. Every time is written and compared by the application's clock.

create table oidc_payloads (
  model text not null,
  -- SHA-256 of the id, base64url; the id itself is stored nowhere
  id_digest text not null,
  -- json, not jsonb: a client may put \u0000 into its nonce, which jsonb refuses. Null once ended
  payload json,
  grant_digest text,
  uid_digest text,
  user_code_digest text,
  -- null: until destroyed
  expires_at timestamptz,
  -- a tombstone: refuses later writes of a request that had read the row before
  ended_at timestamptz,
  spent_by text,
  spent_at timestamptz,
  spent_final boolean not null default false,
  lease_until timestamptz,
  primary key (model, id_digest),
  check (payload is not null or ended_at is not null),
  check ((spent_by is null) = (spent_at is null) and (spent_by is null) = (lease_until is null)),
  check (spent_by is not null or not spent_final)
) with (fillfactor = 80); -- spending touches no index: room on the page keeps it a heap-only update

create index oidc_payloads_grant on oidc_payloads (grant_digest) where grant_digest is not null;
create index oidc_payloads_uid on oidc_payloads (uid_digest) where uid_digest is not null;
create index oidc_payloads_user_code on oidc_payloads (user_code_digest) where user_code_digest is not null;
create index oidc_payloads_expiry on oidc_payloads (expires_at) where expires_at is not null;

-- One row per session, whatever ids it has had: its lock puts saving and ending in order.
create table oidc_sessions (
  uid_digest text primary key,
  expires_at timestamptz not null,
  ended_at timestamptz
) with (fillfactor = 80);

create index oidc_sessions_expiry on oidc_sessions (expires_at);

create table oidc_session_authorizations (
  uid_digest text not null references oidc_sessions on delete cascade,
  client_id text not null,
  state json not null,
  primary key (uid_digest, client_id)
);

create table oidc_marks (
  key_digest text primary key,
  spender text not null,
  expires_at timestamptz not null
);

create index oidc_marks_expiry on oidc_marks (expires_at);

create table oidc_answers (
  key_digest text primary key,
  sealed text not null,
  expires_at timestamptz not null
);

create index oidc_answers_expiry on oidc_answers (expires_at);
