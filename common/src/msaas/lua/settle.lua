-- KEYS outbox, delivery, dead callbacks
-- ARGV delivery id, state, detail, ttl, delay ('' for the last word), max dead
local outbox, delivery, dead = unpack(KEYS)
local id, state, detail, ttl, delay, max_dead = unpack(ARGV)
redis.call('ZREM', outbox, id)
if redis.call('EXISTS', delivery) == 0 then return 0 end
if delay ~= '' then redis.call('ZADD', outbox, after(delay), id) end
if state == 'dead' then lay_with_the_dead(dead, max_dead, id) end
redis.call('HSET', delivery, 'state', state, 'detail', detail)
redis.call('EXPIRE', delivery, ttl)
return 1
