-- What applications ask a person without their browser (OpenID CIBA Core 1.0): the list that the person answers, and the
-- place where the answer is decided, once.
create table approval_requests (
  id uuid primary key,
  -- Of the auth_req_id, which only its client has.
  request_digest text not null unique,
  account_id uuid not null references accounts (id) on delete cascade,
  client_id text not null references clients (client_id) on delete cascade,
  binding_message text,
  -- What is asked for: { scopes, permissions, acrValues, maxAgeSeconds }.
  asked jsonb not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  decision text check (decision in ('approved', 'denied')),
  decided_at timestamptz,
  -- By what sign-in it was approved: { grantId, sessionUid, acr, amr, authTime }.
  authority jsonb,
  -- For a client that wants to be told: the auth_req_id and the token that it is told with, sealed.
  ping_sealed text,
  check ((decision is null) = (decided_at is null)),
  check ((decision = 'approved') = (authority is not null))
);

create index approval_requests_waiting on approval_requests (account_id, client_id, created_at);
create index approval_requests_expiry on approval_requests (expires_at);

-- Clients to be told that there is an answer.
create table approval_pings (
  id uuid primary key,
  client_id text not null,
  account_id uuid,
  sealed text not null,
  created_at timestamptz not null,
  attempts integer not null default 0,
  next_attempt_at timestamptz not null,
  gives_up_at timestamptz not null,
  leased_until timestamptz,
  lease_id uuid,
  check ((leased_until is null) = (lease_id is null))
);

create index approval_pings_due on approval_pings (next_attempt_at);
create index approval_pings_client on approval_pings (client_id);
