-- One flush of the audit log in one call (src/audit/flush-at-once.ts), so that the chain's head is locked only for as
-- long as the server works. Returns false, and has written nothing, where the caller has to look and judge by itself.
--
-- events    [covered, personal, salt] each: the text of `covered` is what the chain's hash covers (src/audit/chain.ts)
-- spends    rows of `spent`; null for none
-- revoking  rows of `revocations`; null for none
-- kinds, subjects, issued  what must not have been revoked, and when what builds on it was issued, side by side
-- flush_number  writes nothing any more once its writer has said that it knows the outcome of this flush
create function audit_flush(
  events json,
  spends json,
  revoking json,
  kinds text[],
  subjects text[],
  issued timestamptz[],
  writer uuid,
  flush_number bigint,
  is_link_due boolean,
  patience_ms integer
) returns boolean
language plpgsql
-- Plans are kept while tables grow: one that was made when there was hardly a row must not read them whole for ever.
set enable_seqscan = off
set jit = off
as $$
declare
  first_seq bigint;
  hashes text[];
  event json;
  link integer := 1;
begin
  -- Each statement has to see what earlier holders of the head committed, also where the operator chose otherwise.
  if current_setting('transaction_isolation') <> 'read committed' then
    return false;
  end if;
  perform set_config('lock_timeout', patience_ms || 'ms', true);
  select seq, array[hash] into first_seq, hashes from audit_head where singleton for update;
  if not found then
    raise exception 'The audit log has lost its head: audit_head is empty';
  end if;

  if exists (select from audit_writers where id = writer and settled_flush >= flush_number) then
    return false;
  end if;
  if is_link_due and exists (select from audit_events where seq is null) then
    return false;
  end if;
  if exists (
    select from unnest(kinds, subjects, issued) as required (kind, subject, issued) cross join lateral (
      select from revocations r
       where r.kind = required.kind and r.subject = required.subject
         -- Times are judged in whole seconds: what is nearer than these may be covered.
         and (r.before is null or required.issued < r.before + interval '2 seconds')
       limit 1
    ) as revoked
  ) then
    return false;
  end if;
  if spends is not null and exists (
    select from json_array_elements(spends) as spend (s) cross join lateral (
      select from spent where digest = s ->> 'digest' limit 1
    ) as before
  ) then
    return false;
  end if;

  for event in select e from json_array_elements(events) e loop
    hashes[link + 1] := rtrim(
      translate(encode(sha256(convert_to(hashes[link] || E'\n' || (event -> 0)::text, 'UTF8')), 'base64'), '+/', '-_'),
      '='
    );
    link := link + 1;
  end loop;

  if link > 1 then
    insert into audit_events (
      id, at, type, outcome, actor_kind, actor_id, account_id, client_id, session_uid, grant_id, request_id, payload,
      personal_digest, personal, personal_salt, seq, prev_hash, hash
    )
    select (c ->> 1)::uuid, (c ->> 2)::timestamptz, c ->> 3, c ->> 4, c ->> 5, c ->> 6, (c ->> 7)::uuid, c ->> 8,
           c ->> 9, c ->> 10, c ->> 11, c -> 12, c ->> 13, (e ->> 1)::jsonb, e ->> 2,
           first_seq + n, hashes[n], hashes[n + 1]
      from json_array_elements(events) with ordinality as given (e, n)
           cross join lateral (select (e -> 0)::jsonb as c offset 0) as covered;
    update audit_head set seq = first_seq + link - 1, hash = hashes[link] where singleton;
  end if;

  if spends is not null then
    insert into spent (digest, kind, spend_id, request_id, grant_id, expires_at, writer_id, flush)
    select digest, kind, spend_id, request_id, grant_id, expires_at, writer, flush_number
      from json_to_recordset(spends) as s (
        digest text, kind text, spend_id uuid, request_id text, grant_id text, expires_at timestamptz
      );
    insert into audit_writers (id, settled_flush) values (writer, flush_number - 1)
    on conflict (id) do update set settled_flush = excluded.settled_flush, seen_at = now();
  end if;

  if revoking is not null then
    insert into revocations (id, kind, subject, before, reason, expires_at)
    select id, kind, subject, before, reason, expires_at
      from json_to_recordset(revoking) as r (
        id uuid, kind text, subject text, before timestamptz, reason text, expires_at timestamptz
      );
    perform pg_notify('gatehouse_revocations', '');
  end if;
  return true;
end
$$;
