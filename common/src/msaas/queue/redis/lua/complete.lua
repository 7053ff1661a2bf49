-- Record how an attempt at a delivery ended. `delay` is empty after the last attempt.
-- Returns 0 when another attempt was begun or asked for since: the delivery stays due.
-- KEYS: outbox, delivery, dead
-- ARGV: delivery_id, attempts, state, detail, ttl, delay, max_dead
if redis.call('HGET', delivery, 'attempts') ~= attempts then return 0 end
redis.call('ZREM', outbox, delivery_id)
if delay ~= '' then redis.call('ZADD', outbox, after(delay), delivery_id) end
if state == 'dead' then push_dead_letter(dead, max_dead, delivery_id) end
redis.call('HSET', delivery, 'state', state, 'detail', detail)
redis.call('EXPIRE', delivery, ttl)
return 1
