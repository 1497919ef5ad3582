-- How long access may be renewed: the strictest of what the settings, the client and the APIs say. The client's own are
-- among its protocol_options.
alter table apis add column refresh_token_idle_seconds integer check (refresh_token_idle_seconds > 0);
alter table apis add column refresh_token_absolute_seconds integer check (refresh_token_absolute_seconds > 0);
