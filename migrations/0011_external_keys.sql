-- A key whose private part an external service holds: nothing of it is stored here but what is public.
alter table signing_keys add column is_external boolean not null default false;
alter table signing_keys add check (not is_external or private_jwk_sealed is null);
