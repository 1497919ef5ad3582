/**
 * What is done to one key, in Lua, with `key` and `argv`; it returns a number or a list. Times are milliseconds.
 *
 * Each touches only its key, so that it runs on any slot of a cluster (but for READ_STANDING).
 */
const OPERATIONS = {
  /**
   * body, expires ('' = never), ttl ('' = none), further fields: name, value, …
   * → 1, or 0 where it was ended. Leaves a spend mark as it is.
   */
  PUT: `
    if redis.call('hexists', key, 'ended') == 1 then return 0 end
    redis.call('hset', key, 'body', argv[1], 'expires', argv[2], unpack(argv, 4))
    if argv[3] == '' then redis.call('persist', key) else redis.call('pexpire', key, argv[3]) end
    return 1`,

  /**
   * A token with what it stands on, by what `PUT` wrote beside it: `grant` and `session`, the ends of their keys. Only
   * the token knows these, so they cannot be declared: for one server, not for a cluster.
   * key of a grant without its end, of a session without its end → three hashes as lists, empty where there is none
   */
  READ_STANDING: `
    local function hashAt(prefix, rest) return rest and redis.call('hgetall', prefix .. rest) or {} end
    local grant, session = unpack(redis.call('hmget', key, 'grant', 'session'))
    return { redis.call('hgetall', key), hashAt(argv[1], grant), hashAt(argv[2], session) }`,

  /** ttl of the tombstone. Also before the first write, which may still be on its way from another connection. */
  END: `
    redis.call('del', key)
    redis.call('hset', key, 'ended', '1')
    redis.call('pexpire', key, argv[1])
    return 1`,

  /** spender, now, lease until → {'won', took over from?} | {'lost', by, at, final} | {'missing'} */
  SPEND: `
    local body, expires, by, at, lease, final =
      unpack(redis.call('hmget', key, 'body', 'expires', 'by', 'at', 'lease', 'final'))
    local now = tonumber(argv[2])
    if not body or (expires ~= '' and tonumber(expires) <= now) then return {'missing'} end
    if by and by ~= argv[1] and (final == '1' or tonumber(lease) > now) then return {'lost', by, at, final} end
    if final ~= '1' then
      redis.call('hset', key, 'by', argv[1], 'at', argv[2], 'lease', argv[3], 'final', '0')
    end
    if by and by ~= argv[1] then return {'won', by} end
    return {'won'}`,

  /** spender */
  CONFIRM: `
    if redis.call('hget', key, 'by') == argv[1] then redis.call('hset', key, 'final', '1') end
    return 1`,

  /** spender */
  RELEASE: `
    local by, final = unpack(redis.call('hmget', key, 'by', 'final'))
    if by == argv[1] and final ~= '1' then redis.call('hdel', key, 'by', 'at', 'lease', 'final') end
    return 1`,

  /** spender, now, expires, ttl → 1 for the first, 0 for everybody else */
  MARK: `
    local expires = redis.call('hget', key, 'expires')
    if expires and tonumber(expires) > tonumber(argv[2]) then return 0 end
    redis.call('hset', key, 'by', argv[1], 'expires', argv[3])
    redis.call('pexpire', key, argv[4])
    return 1`,

  /** now, interval, step, leniency, ttl → 0 in time, else the interval from now on */
  POLL: `
    local at, interval = unpack(redis.call('hmget', key, 'at', 'interval'))
    local now = tonumber(argv[1])
    interval = tonumber(interval or argv[2])
    local isEarly = at and now - tonumber(at) < interval - tonumber(argv[4])
    if isEarly then interval = interval + tonumber(argv[3]) end
    redis.call('hset', key, 'at', argv[1], 'interval', interval)
    redis.call('pexpire', key, argv[5])
    return isEarly and interval or 0`,

  /** spender */
  UNMARK: `
    if redis.call('hget', key, 'by') == argv[1] then redis.call('del', key) end
    return 1`,

  /**
   * The index of a grant's tokens: a sorted set by expiry, which lives as long as its longest member.
   * member, expires ('+inf' = never), now, ttl ('' = none) → 1, or 0 where the grant was ended
   */
  INDEX_ADD: `
    if redis.call('zscore', key, 'ended') then return 0 end
    redis.call('zremrangebyscore', key, '-inf', argv[3])
    local left = redis.call('pttl', key)
    redis.call('zadd', key, argv[2], argv[1])
    if argv[4] == '' then redis.call('persist', key)
    elseif left == -2 or (left >= 0 and left < tonumber(argv[4])) then redis.call('pexpire', key, argv[4]) end
    return 1`,

  /** ttl of the tombstone. Members stay until they are ended one by one, so that a crash in between loses none. */
  INDEX_END: `
    redis.call('zadd', key, '+inf', 'ended')
    if redis.call('pttl', key) < tonumber(argv[1]) then redis.call('pexpire', key, argv[1]) end
    return 1`,

  /**
   * A session is one hash per uid: `i:<id digest>` payload, `e:<id digest>` expiry, `a:<client id>` authorization,
   * or only `ended`.
   * now, has to exist, id digest, body, expires, ttl, replaced id digest ('' = none), grace until,
   * number granted, (client id, authorization)…, withdrawn client id… → 1, or 0 where it has ended
   */
  SAVE_SESSION: `
    if redis.call('hexists', key, 'ended') == 1 then return 0 end
    local now, isLive, stale = tonumber(argv[1]), false, {}
    for _, field in ipairs(redis.call('hkeys', key)) do
      if string.sub(field, 1, 2) == 'e:' then
        if tonumber(redis.call('hget', key, field)) > now then isLive = true
        else table.insert(stale, string.sub(field, 3)) end
      end
    end
    if argv[2] == '1' and not isLive then return 0 end
    for _, id in ipairs(stale) do redis.call('hdel', key, 'e:' .. id, 'i:' .. id) end
    redis.call('hset', key, 'i:' .. argv[3], argv[4], 'e:' .. argv[3], argv[5])
    local replaced = redis.call('hget', key, 'e:' .. argv[7])
    if argv[7] ~= argv[3] and replaced and tonumber(replaced) > tonumber(argv[8]) then
      redis.call('hset', key, 'e:' .. argv[7], argv[8])
    end
    local withdrawnFrom = 10 + 2 * tonumber(argv[9])
    for i = 10, withdrawnFrom - 1, 2 do redis.call('hset', key, 'a:' .. argv[i], argv[i + 1]) end
    for i = withdrawnFrom, #argv do redis.call('hdel', key, 'a:' .. argv[i]) end
    if redis.call('pttl', key) < tonumber(argv[6]) then redis.call('pexpire', key, argv[6]) end
    return 1`,
} as const;

export type Operation = keyof typeof OPERATIONS;

/**
 * Any number of operations, one after the other: name, number of arguments, arguments of each → what each returned, or
 * why it failed. One that fails keeps none of the others from being done.
 */
export const PROGRAM = `
local operations = {
${Object.entries(OPERATIONS)
  .map(([name, lua]) => `  ${name} = function(key, argv)${lua}\n  end`)
  .join(',\n')}
}
local results, at = {}, 1
for i, key in ipairs(KEYS) do
  local operation, count, argv = operations[ARGV[at]], tonumber(ARGV[at + 1]), {}
  for n = 1, count do argv[n] = ARGV[at + 1 + n] end
  local isDone, result = pcall(operation, key, argv)
  results[i] = isDone and result or { err = type(result) == 'table' and result.err or tostring(result) }
  at = at + 2 + count
end
return results`;
