-- KEYS waiting, delayed, job, callbacks, delivery, deliveries
-- ARGV payload, model, delivery id ('' for none), job id, url, data ('' for none), ttl
local waiting, delayed, job, callbacks, delivery, deliveries = unpack(KEYS)
local payload, model, delivery_id, job_id, url, data, ttl = unpack(ARGV)

if delivery_id ~= '' then
  redis.call('HSET', delivery, 'job_id', job_id, 'url', url, 'state', 'waiting', 'attempts', 0)
  if data ~= '' then redis.call('HSET', delivery, 'data', data) end
  redis.call('EXPIRE', delivery, ttl)
  redis.call('SADD', callbacks, delivery_id)
  redis.call('SADD', deliveries, delivery_id)
  redis.call('EXPIRE', deliveries, ttl)
end

-- A state alone is no proof: whoever waits must lie in a list, whoever runs must hold a lease.
local state = redis.call('HGET', job, 'state')
if state == 'queued' and (redis.call('LPOS', waiting, payload) or redis.call('ZSCORE', delayed, payload)) then
  return state
end
if state == 'running' and tonumber(redis.call('HGET', job, 'lease_until') or 0) > now() then
  return state
end

redis.call('DEL', job)
redis.call('HSET', job, 'state', 'queued', 'progress', '0', 'attempts', 0, 'created_at', stamp())
if model ~= '' then redis.call('HSET', job, 'model', model) end
redis.call('LPUSH', waiting, payload)
return 'queued'
