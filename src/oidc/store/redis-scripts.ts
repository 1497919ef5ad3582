import { createHash } from 'node:crypto';

import type { Redis } from '../../platform/redis.ts';

/**
 * Lua that touches exactly one key, `KEYS[1]`, so that it runs on any slot of a cluster (but for READ_STANDING). Times
 * are milliseconds.
 */
export interface Script {
  lua: string;
  sha: string;
}

function script(lua: string): Script {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') };
}

/** Runs a script by its digest; sends its text only where this server does not know it yet. */
export async function runScript(
  redis: Redis,
  { lua, sha }: Script,
  key: string,
  args: readonly (string | number)[],
): Promise<unknown> {
  try {
    return await redis.evalsha(sha, 1, key, ...args);
  } catch (error) {
    if (!(error as Error).message.startsWith('NOSCRIPT')) throw error;
    return redis.eval(lua, 1, key, ...args);
  }
}

/**
 * body, expires ('' = never), ttl ('' = none), further fields: name, value, …
 * → 1, or 0 where it was ended. Leaves a spend mark as it is.
 */
export const PUT = script(`
if redis.call('hexists', KEYS[1], 'ended') == 1 then return 0 end
redis.call('hset', KEYS[1], 'body', ARGV[1], 'expires', ARGV[2], unpack(ARGV, 4))
if ARGV[3] == '' then redis.call('persist', KEYS[1]) else redis.call('pexpire', KEYS[1], ARGV[3]) end
return 1`);

/**
 * A token with what it stands on, by what `PUT` wrote beside it: `grant` and `session`, the ends of their keys. Only
 * the token knows these, so they cannot be declared: for one server, not for a cluster.
 * key of a grant without its end, of a session without its end → three hashes as lists, empty where there is none
 */
export const READ_STANDING = script(`
local function hashAt(prefix, rest) return rest and redis.call('hgetall', prefix .. rest) or {} end
local grant, session = unpack(redis.call('hmget', KEYS[1], 'grant', 'session'))
return { redis.call('hgetall', KEYS[1]), hashAt(ARGV[1], grant), hashAt(ARGV[2], session) }`);

/** ttl of the tombstone. Also before the first write, which may still be on its way from another connection. */
export const END = script(`
redis.call('del', KEYS[1])
redis.call('hset', KEYS[1], 'ended', '1')
redis.call('pexpire', KEYS[1], ARGV[1])
return 1`);

/** spender, now, lease until → {'won', took over from?} | {'lost', by, at, final} | {'missing'} */
export const SPEND = script(`
local body, expires, by, at, lease, final =
  unpack(redis.call('hmget', KEYS[1], 'body', 'expires', 'by', 'at', 'lease', 'final'))
local now = tonumber(ARGV[2])
if not body or (expires ~= '' and tonumber(expires) <= now) then return {'missing'} end
if by and by ~= ARGV[1] and (final == '1' or tonumber(lease) > now) then return {'lost', by, at, final} end
if final ~= '1' then
  redis.call('hset', KEYS[1], 'by', ARGV[1], 'at', ARGV[2], 'lease', ARGV[3], 'final', '0')
end
if by and by ~= ARGV[1] then return {'won', by} end
return {'won'}`);

/** spender */
export const CONFIRM = script(`
if redis.call('hget', KEYS[1], 'by') == ARGV[1] then redis.call('hset', KEYS[1], 'final', '1') end
return 1`);

/** spender */
export const RELEASE = script(`
local by, final = unpack(redis.call('hmget', KEYS[1], 'by', 'final'))
if by == ARGV[1] and final ~= '1' then redis.call('hdel', KEYS[1], 'by', 'at', 'lease', 'final') end
return 1`);

/** spender, now, expires, ttl → 1 for the first, 0 for everybody else */
export const MARK = script(`
local expires = redis.call('hget', KEYS[1], 'expires')
if expires and tonumber(expires) > tonumber(ARGV[2]) then return 0 end
redis.call('hset', KEYS[1], 'by', ARGV[1], 'expires', ARGV[3])
redis.call('pexpire', KEYS[1], ARGV[4])
return 1`);

/** now, interval, step, leniency, ttl → 0 in time, else the interval from now on */
export const POLL = script(`
local at, interval = unpack(redis.call('hmget', KEYS[1], 'at', 'interval'))
local now = tonumber(ARGV[1])
interval = tonumber(interval or ARGV[2])
local isEarly = at and now - tonumber(at) < interval - tonumber(ARGV[4])
if isEarly then interval = interval + tonumber(ARGV[3]) end
redis.call('hset', KEYS[1], 'at', ARGV[1], 'interval', interval)
redis.call('pexpire', KEYS[1], ARGV[5])
return isEarly and interval or 0`);

/** spender */
export const UNMARK = script(`
if redis.call('hget', KEYS[1], 'by') == ARGV[1] then redis.call('del', KEYS[1]) end
return 1`);

/**
 * The index of a grant's tokens: a sorted set by expiry, which lives as long as its longest member.
 * member, expires ('+inf' = never), now, ttl ('' = none) → 1, or 0 where the grant was ended
 */
export const INDEX_ADD = script(`
if redis.call('zscore', KEYS[1], 'ended') then return 0 end
redis.call('zremrangebyscore', KEYS[1], '-inf', ARGV[3])
local left = redis.call('pttl', KEYS[1])
redis.call('zadd', KEYS[1], ARGV[2], ARGV[1])
if ARGV[4] == '' then redis.call('persist', KEYS[1])
elseif left == -2 or (left >= 0 and left < tonumber(ARGV[4])) then redis.call('pexpire', KEYS[1], ARGV[4]) end
return 1`);

/** ttl of the tombstone. Members stay until they are ended one by one, so that a crash in between loses none. */
export const INDEX_END = script(`
redis.call('zadd', KEYS[1], '+inf', 'ended')
if redis.call('pttl', KEYS[1]) < tonumber(ARGV[1]) then redis.call('pexpire', KEYS[1], ARGV[1]) end
return 1`);

/**
 * A session is one hash per uid: `i:<id digest>` payload, `e:<id digest>` expiry, `a:<client id>` authorization,
 * or only `ended`.
 * now, has to exist, id digest, body, expires, ttl, replaced id digest ('' = none), grace until,
 * number granted, (client id, authorization)…, withdrawn client id… → 1, or 0 where it has ended
 */
export const SAVE_SESSION = script(`
if redis.call('hexists', KEYS[1], 'ended') == 1 then return 0 end
local now, isLive, stale = tonumber(ARGV[1]), false, {}
for _, field in ipairs(redis.call('hkeys', KEYS[1])) do
  if string.sub(field, 1, 2) == 'e:' then
    if tonumber(redis.call('hget', KEYS[1], field)) > now then isLive = true
    else table.insert(stale, string.sub(field, 3)) end
  end
end
if ARGV[2] == '1' and not isLive then return 0 end
for _, id in ipairs(stale) do redis.call('hdel', KEYS[1], 'e:' .. id, 'i:' .. id) end
redis.call('hset', KEYS[1], 'i:' .. ARGV[3], ARGV[4], 'e:' .. ARGV[3], ARGV[5])
local replaced = redis.call('hget', KEYS[1], 'e:' .. ARGV[7])
if ARGV[7] ~= ARGV[3] and replaced and tonumber(replaced) > tonumber(ARGV[8]) then
  redis.call('hset', KEYS[1], 'e:' .. ARGV[7], ARGV[8])
end
local withdrawnFrom = 10 + 2 * tonumber(ARGV[9])
for i = 10, withdrawnFrom - 1, 2 do redis.call('hset', KEYS[1], 'a:' .. ARGV[i], ARGV[i + 1]) end
for i = withdrawnFrom, #ARGV do redis.call('hdel', KEYS[1], 'a:' .. ARGV[i]) end
if redis.call('pttl', KEYS[1]) < tonumber(ARGV[6]) then redis.call('pexpire', KEYS[1], ARGV[6]) end
return 1`);
