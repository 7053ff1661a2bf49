-- Take the next due delivery with at most `max_attempts` attempts and hide it for `visibility` seconds.
-- KEYS: outbox
-- ARGV: visibility, delivery_prefix, max_attempts
local BATCH = 100
local skipped = 0
repeat
  local ids = redis.call('ZRANGEBYSCORE', outbox, '-inf', stamp(), 'LIMIT', skipped, BATCH)
  for _, id in ipairs(ids) do
    local delivery = delivery_prefix .. id
    local attempts = redis.call('HGET', delivery, 'attempts')
    if not attempts then
      redis.call('ZREM', outbox, id)
    elseif max_attempts == 'inf' or tonumber(attempts) <= tonumber(max_attempts) then
      redis.call('ZADD', outbox, after(visibility), id)
      redis.call('HINCRBY', delivery, 'attempts', 1)
      return {id, redis.call('HGETALL', delivery)}
    else
      skipped = skipped + 1
    end
  end
until #ids == 0
return nil
