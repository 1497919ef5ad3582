create table roles (
  id uuid primary key,
  name text not null,
  description text,
  -- Whoever has the role signs in with a second factor.
  requires_mfa boolean not null default false,
  created_at timestamptz not null,
  constraint roles_name_unique unique (name),
  constraint roles_name_form check (name ~ '^[a-z0-9:_./-]{1,64}$')
);

create table account_roles (
  account_id uuid not null references accounts (id) on delete cascade,
  role_id uuid not null references roles (id),
  granted_at timestamptz not null,
  primary key (account_id, role_id)
);

create index account_roles_role on account_roles (role_id);

insert into roles (id, name, description, requires_mfa, created_at)
values ('00000000-0000-7000-8000-00000000ad01', 'admin', 'Administers Gatehouse itself.', true, now());
