-- KEYS own, claims, job, waiting, delayed
-- ARGV token, payload, delay
local own, claims, job, waiting, delayed = unpack(KEYS)
local token, payload, delay = unpack(ARGV)

if redis.call('HGET', job, 'token') ~= token then return 0 end
redis.call('LREM', own, 1, payload)
redis.call('HDEL', claims, payload)
redis.call('HINCRBY', job, 'attempts', -1)
if tonumber(delay) > 0 then
  drop_lease(job)
  redis.call('HSET', job, 'state', 'queued', 'progress', '0')
  redis.call('ZADD', delayed, after(delay), payload)
else
  redis.call('HINCRBY', job, 'give_backs', 1)
  requeue(job, waiting, payload)
end
return 1
