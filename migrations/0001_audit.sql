-- The audit log (append-only, hash-chained), and what is judged in the transaction that records it:
-- what has been spent, and what has been revoked.

create table audit_events (
  id uuid not null,
  at timestamptz not null,
  -- The place in the chain; null until the writer has linked a row that a subject appended in its own transaction.
  seq bigint,
  type text not null,
  outcome text not null check (outcome in ('success', 'failure')),
  actor_kind text,
  actor_id text,
  account_id uuid,
  client_id text,
  session_uid text,
  grant_id text,
  request_id text,
  payload jsonb not null,
  -- Address, user agent, names, e-mail: erasable, together with the salt. The chain covers the digest only.
  personal jsonb,
  personal_salt text,
  personal_digest text,
  prev_hash text,
  hash text,
  primary key (id, at),
  check ((seq is null) = (hash is null)),
  check ((personal is null) = (personal_salt is null))
) partition by range (at);

create index audit_events_at on audit_events (at, id);
create index audit_events_seq on audit_events (seq) where seq is not null;
create index audit_events_unlinked on audit_events (at, id) where seq is null;
create index audit_events_account on audit_events (account_id, at) where account_id is not null;
create index audit_events_actor on audit_events (actor_id, at) where actor_id is not null;
create index audit_events_client on audit_events (client_id, at) where client_id is not null;
create index audit_events_request on audit_events (request_id) where request_id is not null;

-- The net below the months: a record is never lost for want of a partition.
create table audit_events_default partition of audit_events default;

-- Makes the partitions of the month of `from_time` and of `months_ahead` months after it; returns how many it made.
-- Rows of such a month that fell into the default partition move along. Waits for locks only briefly, since whoever
-- writes would queue up behind it: then it fails, nothing is lost, and the next call tries again.
create function audit_ensure_partitions(from_time timestamptz, months_ahead integer) returns integer
language plpgsql
set lock_timeout = '250ms'
set timezone = 'UTC'
as $$
declare
  first_day timestamptz;
  next_day timestamptz;
  partition_name text;
  made integer := 0;
begin
  perform pg_advisory_xact_lock(hashtext('audit_ensure_partitions'));
  for step in 0..months_ahead loop
    first_day := date_trunc('month', from_time) + make_interval(months => step);
    next_day := first_day + interval '1 month';
    partition_name := 'audit_events_' || to_char(first_day, 'YYYY_MM');
    continue when to_regclass(partition_name) is not null;
    execute format('create table %I (like audit_events including all)', partition_name);
    perform set_config('gatehouse.audit_moving', 'on', true);
    execute format(
      'with moved as (delete from audit_events_default where at >= %L and at < %L returning *)
       insert into %I select * from moved',
      first_day, next_day, partition_name
    );
    perform set_config('gatehouse.audit_moving', 'off', true);
    execute format(
      'alter table audit_events attach partition %I for values from (%L) to (%L)',
      partition_name, first_day, next_day
    );
    made := made + 1;
  end loop;
  return made;
end
$$;

-- A guard against accidents and careless code. Whoever may disable triggers is caught by the chain instead.
create function audit_refuse_change() returns trigger
language plpgsql
as $$
begin
  if tg_op = 'UPDATE' then
    -- Linking a row once, and erasing personal details, change nothing that the chain covers.
    if (old.seq is null or (new.seq, new.prev_hash, new.hash) is not distinct from (old.seq, old.prev_hash, old.hash))
      and (new.personal is null or new.personal is not distinct from old.personal)
      and (
        new.id, new.at, new.type, new.outcome, new.actor_kind, new.actor_id, new.account_id, new.client_id,
        new.session_uid, new.grant_id, new.request_id, new.payload, new.personal_digest
      ) is not distinct from (
        old.id, old.at, old.type, old.outcome, old.actor_kind, old.actor_id, old.account_id, old.client_id,
        old.session_uid, old.grant_id, old.request_id, old.payload, old.personal_digest
      )
    then
      return new;
    end if;
  elsif current_setting('gatehouse.audit_moving', true) = 'on' then
    return old;
  end if;
  raise exception 'the audit log is append-only' using errcode = 'restrict_violation';
end
$$;

create trigger audit_events_append_only before update or delete on audit_events
  for each row execute function audit_refuse_change();
create trigger audit_events_no_truncate before truncate on audit_events
  for each statement execute function audit_refuse_change();

-- One chain for all processes: who holds this row's lock may link.
create table audit_head (
  singleton boolean primary key default true check (singleton),
  seq bigint not null,
  hash text not null
);
insert into audit_head (seq, hash) values (0, '');

-- Which of its flushes a process knows the outcome of (see src/audit/settlement.ts).
create table audit_writers (
  id uuid primary key,
  settled_flush bigint not null,
  seen_at timestamptz not null default now()
);

create table spent (
  digest text primary key,
  kind text not null,
  spend_id uuid not null,
  request_id text,
  grant_id text,
  writer_id uuid not null,
  flush bigint not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index spent_expires_at on spent (expires_at);

-- Insert only, several rows for one subject allowed: nobody ever waits for another's transaction here.
create table revocations (
  id uuid primary key,
  kind text not null check (kind in ('grant', 'session', 'token', 'account')),
  subject text not null,
  before timestamptz,
  reason text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  -- The version that processes poll. A sequence would not do: a lower number can become visible after a higher one.
  version xid8 not null default pg_current_xact_id()
);
create index revocations_subject on revocations (kind, subject);
create index revocations_version on revocations (version);
create index revocations_expires_at on revocations (expires_at);

select audit_ensure_partitions(now(), 3);
