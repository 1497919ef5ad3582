-- What clients with demands of their own are given: by its registered metadata name, absent where it is not given. One
-- column, for it is read and written whole and never searched.
alter table clients add column protocol_options jsonb not null default '{}' check (jsonb_typeof(protocol_options) = 'object');
alter table clients alter column protocol_options drop default;

alter table clients drop constraint clients_token_endpoint_auth_method_check;
alter table clients add constraint clients_token_endpoint_auth_method_check check (
  token_endpoint_auth_method in (
    'client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth', 'none'
  )
);
