-- KEYS outbox
-- ARGV visibility, delivery prefix
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', stamp(), 'LIMIT', 0, 1)
local id = ids[1]
if not id then return nil end
local delivery = ARGV[2] .. id
if redis.call('EXISTS', delivery) == 0 then
  redis.call('ZREM', KEYS[1], id)
  return nil
end
redis.call('ZADD', KEYS[1], string.format('%.6f', now() + tonumber(ARGV[1])), id)
redis.call('HINCRBY', delivery, 'attempts', 1)
return {id, redis.call('HGETALL', delivery)}
