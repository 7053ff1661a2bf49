-- Take the next due delivery with at most `max_attempts` attempts and hide it for `visibility` seconds.
-- KEYS: outbox
-- ARGV: visibility, delivery_prefix, max_attempts
for _, id in ipairs(redis.call('ZRANGEBYSCORE', outbox, '-inf', stamp(), 'LIMIT', 0, 100)) do
  local delivery = delivery_prefix .. id
  local attempts = redis.call('HGET', delivery, 'attempts')
  if not attempts then
    redis.call('ZREM', outbox, id)
  elseif max_attempts == 'inf' or tonumber(attempts) <= tonumber(max_attempts) then
    redis.call('ZADD', outbox, after(visibility), id)
    redis.call('HINCRBY', delivery, 'attempts', 1)
    return {id, redis.call('HGETALL', delivery)}
  end
end
return nil
