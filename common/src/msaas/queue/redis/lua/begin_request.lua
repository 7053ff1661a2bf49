-- Record a request that is in progress. Returns the record of an earlier one. The oldest records beyond a limit go.
-- KEYS: record, all_records, own_records
-- ARGV: value, ttl, name, prefix, kept_s, max_own, max_all
local earlier = redis.call('GET', record)
if earlier then return earlier end
redis.call('SET', record, value, 'EX', ttl)
local function forget_oldest(records, most)
  redis.call('ZREMRANGEBYSCORE', records, '-inf', after(-kept_s))
  redis.call('ZADD', records, stamp(), name)
  local surplus = redis.call('ZCARD', records) - most
  if surplus > 0 then
    for _, oldest in ipairs(redis.call('ZRANGE', records, 0, surplus - 1)) do
      redis.call('DEL', prefix .. oldest)
      redis.call('ZREM', records, oldest)
    end
  end
  redis.call('EXPIRE', records, kept_s)
end
forget_oldest(own_records, tonumber(max_own))
forget_oldest(all_records, tonumber(max_all))
return nil
