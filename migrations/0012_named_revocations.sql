-- A client or an API that is deleted takes along what it was given, also where another of the same name comes after it.
alter table revocations drop constraint revocations_kind_check;
alter table revocations add constraint revocations_kind_check
  check (kind in ('grant', 'session', 'token', 'account', 'account_sessions', 'client', 'api'));
