-- A consent that is withdrawn takes along everything that the client got of that person. The subject is `<sub> <client_id>`.
alter table revocations drop constraint revocations_kind_check;
alter table revocations add constraint revocations_kind_check
  check (kind in ('grant', 'session', 'token', 'account', 'account_sessions', 'client', 'api', 'consent'));
