-- KEYS outbox, delivery, dead callbacks
-- ARGV delivery id, job id, ttl, states that may be sent again ...
local outbox, delivery, dead = unpack(KEYS)
local id, job_id, ttl = unpack(ARGV)
if redis.call('HGET', delivery, 'job_id') ~= job_id then return 'absent' end
local state = redis.call('HGET', delivery, 'state')
for index = 4, #ARGV do
  if ARGV[index] == state then
    redis.call('HSET', delivery, 'state', 'pending', 'attempts', 0)
    redis.call('HDEL', delivery, 'detail')
    redis.call('EXPIRE', delivery, ttl)
    redis.call('LREM', dead, 0, id)
    redis.call('ZADD', outbox, stamp(), id)
    return 'pending'
  end
end
return state
