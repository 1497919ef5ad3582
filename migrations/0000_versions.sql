-- Numbers that processes watch to know that what they keep in memory has changed (src/platform/version-watch.ts).
create table versions (
  name text primary key,
  version bigint not null
);
