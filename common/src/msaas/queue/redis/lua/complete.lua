-- Record how an attempt at a delivery ended. `delay` is empty after the last attempt.
-- Returns 0 when another attempt was begun or asked for since: the delivery stays due.
-- What was delivered or refused is not sent again: its payload is dropped.
-- KEYS: outbox, delivery, dead, held, held_bytes
-- ARGV: delivery_id, attempts, state, detail, ttl, delay, max_dead, delivery_prefix
local at = {held = held, held_bytes = held_bytes, prefix = delivery_prefix}
if redis.call('HGET', delivery, 'attempts') ~= attempts then return 0 end
redis.call('ZREM', outbox, delivery_id)
if delay ~= '' then redis.call('ZADD', outbox, after(delay), delivery_id) end
if state == 'dead' then push_dead_letter(dead, max_dead, delivery_id) end
redis.call('HSET', delivery, 'state', state, 'detail', detail)
redis.call('EXPIRE', delivery, ttl)
local bytes = redis.call('HGET', delivery, 'bytes')
if state == 'delivered' or state == 'refused' then
  drop_payload(at, delivery_id)
elseif bytes then
  hold(at, delivery_id, bytes, ttl)
end
return 1
