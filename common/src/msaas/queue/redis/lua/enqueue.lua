-- Push a job unless it waits or runs; keep its callback either way. Returns the state of the job.
-- `delivery_id` and `callback` are empty for a request without a callback.
-- KEYS: waiting, delayed, job, callbacks, delivery, deliveries, workers
-- ARGV: payload, model, delivery_id, job_id, callback, ttl, processing_prefix, max_listed
await_callback(callbacks, delivery, deliveries, delivery_id, job_id, callback, ttl, max_listed)

local function is_with_a_worker(entry)
  for _, worker in ipairs(redis.call('ZRANGE', workers, 0, -1)) do
    if redis.call('LPOS', processing_prefix .. worker, entry) then return true end
  end
  return false
end

-- The state alone proves nothing: the entry of the job must be in a list.
local state, entry = unpack(redis.call('HMGET', job, 'state', 'payload'))
if entry and (state == 'running' or state == 'queued')
  and (redis.call('LPOS', waiting, entry) or redis.call('ZSCORE', delayed, entry) or is_with_a_worker(entry)) then
  return state
end

restart_job(job, state)
redis.call('HSET', job, 'state', 'queued', 'progress', '0', 'attempts', 0, 'payload', payload)
if model ~= '' then redis.call('HSETNX', job, 'model', model) end
redis.call('LPUSH', waiting, payload)
return 'queued'
