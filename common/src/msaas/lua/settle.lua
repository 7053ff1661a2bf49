-- KEYS outbox, delivery
-- ARGV delivery id, state, detail, ttl, delay ('' for the last word)
local outbox, delivery = unpack(KEYS)
local id, state, detail, ttl, delay = unpack(ARGV)
redis.call('ZREM', outbox, id)
if redis.call('EXISTS', delivery) == 0 then return 0 end
if delay ~= '' then redis.call('ZADD', outbox, after(delay), id) end
redis.call('HSET', delivery, 'state', state, 'detail', detail)
redis.call('EXPIRE', delivery, ttl)
return 1
