-- Counters of guesses where no Redis is configured; the columns are those that rate-limiter-flexible expects.
-- Unlogged: written at every attempt, and after a crash of the database everybody starts from nothing again.
create unlogged table rate_limits (
  key varchar(255) primary key,
  points integer not null default 0,
  -- Milliseconds since the epoch.
  expire bigint
);

create index rate_limits_expire on rate_limits (expire);
