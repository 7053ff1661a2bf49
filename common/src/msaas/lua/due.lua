-- KEYS outbox
-- ARGV visibility, delivery prefix
local outbox, visibility, delivery_prefix = KEYS[1], unpack(ARGV)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', outbox, '-inf', stamp(), 'LIMIT', 0, 100)) do
  local delivery = delivery_prefix .. id
  if redis.call('EXISTS', delivery) == 1 then
    redis.call('ZADD', outbox, after(visibility), id)
    redis.call('HINCRBY', delivery, 'attempts', 1)
    return {id, redis.call('HGETALL', delivery)}
  end
  redis.call('ZREM', outbox, id)
end
return nil
