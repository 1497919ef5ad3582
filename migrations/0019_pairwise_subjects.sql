-- What clients of a sector know a person by (OIDC Core §8.1). Rows, not a digest of something: they can be imported from
-- another provider, and no change of a key changes them.
create table pairwise_subjects (
  account_id uuid not null references accounts (id) on delete cascade,
  -- A host: all clients of one sector know the person by the same name.
  sector text not null check (sector = lower(sector) and sector <> ''),
  sub text not null constraint pairwise_subjects_sub_form check (sub ~ '^[\x21-\x7e]{1,255}$'),
  created_at timestamptz not null,
  primary key (account_id, sector),
  constraint pairwise_subjects_sub_unique unique (sector, sub)
);
