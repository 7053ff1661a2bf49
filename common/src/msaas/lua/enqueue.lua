-- KEYS waiting, delayed, job, callbacks, delivery, deliveries
-- ARGV payload, model, delivery id ('' for none), job id, url, data ('' for none), ttl, own prefix
local waiting, delayed, job, callbacks, delivery, deliveries = unpack(KEYS)
local payload, model, delivery_id, job_id, url, data, ttl, own_prefix = unpack(ARGV)

await_callback(callbacks, delivery, deliveries, delivery_id, job_id, url, data, ttl)

-- A state alone is no proof: whoever waits must lie in a list, whoever runs with its worker.
local state, worker, entry = unpack(redis.call('HMGET', job, 'state', 'worker', 'payload'))
if state == 'queued' and entry then
  if redis.call('LPOS', waiting, entry) or redis.call('ZSCORE', delayed, entry) then return state end
end
if state == 'running' and redis.call('LPOS', own_prefix .. worker, entry) then return state end

redis.call('DEL', job)
redis.call('HSET', job, 'state', 'queued', 'progress', '0', 'attempts', 0, 'created_at', stamp(), 'payload', payload)
if model ~= '' then redis.call('HSET', job, 'model', model) end
redis.call('LPUSH', waiting, payload)
return 'queued'
