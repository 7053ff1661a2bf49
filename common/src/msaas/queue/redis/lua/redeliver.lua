-- Make a delivery due again, with all its attempts. `states` is a JSON list of those that allow it.
-- Returns 'pending', 'absent' or the state that does not allow it.
-- KEYS: outbox, delivery, dead, held, held_bytes
-- ARGV: delivery_id, job_id, ttl, states
local at = {held = held, held_bytes = held_bytes}
if redis.call('HGET', delivery, 'job_id') ~= job_id then return 'absent' end
local state = redis.call('HGET', delivery, 'state')
for _, allowed in ipairs(cjson.decode(states)) do
  if allowed == state then
    redis.call('HSET', delivery, 'state', 'pending', 'attempts', 0)
    redis.call('HDEL', delivery, 'detail')
    redis.call('EXPIRE', delivery, ttl)
    local bytes = redis.call('HGET', delivery, 'bytes')
    if bytes then hold(at, delivery_id, bytes, ttl) end
    redis.call('LREM', dead, 0, delivery_id)
    redis.call('ZADD', outbox, stamp(), delivery_id)
    return 'pending'
  end
end
return state
