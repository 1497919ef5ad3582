-- The session that a token ends with, so that both are read in one go. Null for tokens that outlive theirs, and for
-- those of before this column: their sessions are asked for by a query of their own.
alter table oidc_payloads add column session_digest text;
