-- KEYS outbox, delivery, dead callbacks
-- ARGV delivery id, attempts, state, detail, ttl, delay ('' for the last word), max dead
local outbox, delivery, dead = unpack(KEYS)
local id, attempts, state, detail, ttl, delay, max_dead = unpack(ARGV)
-- Another attempt was begun or asked for since: it stays due. Of a delivery forgotten `due` takes the name away.
if redis.call('HGET', delivery, 'attempts') ~= attempts then return 0 end
redis.call('ZREM', outbox, id)
if delay ~= '' then redis.call('ZADD', outbox, after(delay), id) end
if state == 'dead' then lay_with_the_dead(dead, max_dead, id) end
redis.call('HSET', delivery, 'state', state, 'detail', detail)
redis.call('EXPIRE', delivery, ttl)
return 1
