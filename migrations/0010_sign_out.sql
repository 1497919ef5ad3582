-- Telling applications that somebody signed out, and what a sign-out ends.

alter table clients
  add column backchannel_logout_uri text,
  add column backchannel_logout_session_required boolean not null default true,
  add column frontchannel_logout_uri text,
  add column frontchannel_logout_session_required boolean not null default true,
  -- Null: as the server is configured.
  add column ends_offline_grants boolean;
alter table clients
  alter column backchannel_logout_session_required drop default,
  alter column frontchannel_logout_session_required drop default;

-- `account_sessions` ends an account's sessions and what is bound to them, and leaves offline grants.
alter table revocations drop constraint revocations_kind_check;
alter table revocations add constraint revocations_kind_check
  check (kind in ('grant', 'session', 'token', 'account', 'account_sessions'));

-- The audit log itself is the queue of what applications are to be told: a sign-out is recorded or did not happen. The
-- cursor is the place in the chain up to which notices have been made of it.
create table logout_cursor (
  singleton boolean primary key default true check (singleton),
  seq bigint not null
);
insert into logout_cursor (seq) select seq from audit_head;

create index audit_events_sign_outs on audit_events (seq) where type in (
  'session.ended', 'session.application_ended',
  'account.signed_out', 'account.disabled', 'account.password_set', 'factor.reset'
);

create table logout_notices (
  id uuid primary key,
  client_id text not null,
  account_id uuid,
  -- As the client knows the person and the session.
  sub text not null,
  sid text,
  session_uid text,
  -- The audit event that it comes from.
  event_id uuid not null,
  created_at timestamptz not null,
  attempts integer not null default 0,
  next_attempt_at timestamptz not null,
  gives_up_at timestamptz not null,
  -- Somebody is delivering it; a process that died leaves it to the next one.
  leased_until timestamptz,
  lease_id uuid,
  check ((leased_until is null) = (lease_id is null))
);

create index logout_notices_due on logout_notices (next_attempt_at);
create index logout_notices_client on logout_notices (client_id);

alter table signing_keys drop constraint signing_keys_alg_check;
alter table signing_keys add constraint signing_keys_alg_check
  check (alg in ('RS256', 'ES256', 'EdDSA', 'ML-DSA-65'));
alter table clients drop constraint clients_id_token_alg_check;
alter table clients add constraint clients_id_token_alg_check
  check (id_token_alg in ('RS256', 'ES256', 'EdDSA', 'ML-DSA-65'));
