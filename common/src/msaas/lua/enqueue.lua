-- KEYS waiting, delayed, job, callbacks, delivery, deliveries, workers
-- ARGV payload, model, delivery id ('' for none), job id, url, data and secret ('' for none), ttl,
--      own prefix
local waiting, delayed, job, callbacks, delivery, deliveries, workers = unpack(KEYS)
local payload, model, delivery_id, job_id, url, data, secret, ttl, own_prefix = unpack(ARGV)

await_callback(callbacks, delivery, deliveries, delivery_id, job_id, url, data, secret, ttl)

local function lies_with_a_worker(entry)
  for _, worker in ipairs(redis.call('ZRANGE', workers, 0, -1)) do
    if redis.call('LPOS', own_prefix .. worker, entry) then return true end
  end
  return false
end

-- A state alone is no proof: the entry that stands for the job must lie somewhere.
local state, entry = unpack(redis.call('HMGET', job, 'state', 'payload'))
if entry and (state == 'running' or state == 'queued')
  and (redis.call('LPOS', waiting, entry) or redis.call('ZSCORE', delayed, entry) or lies_with_a_worker(entry)) then
  return state
end

redis.call('DEL', job)
redis.call('HSET', job, 'state', 'queued', 'progress', '0', 'attempts', 0, 'created_at', stamp(), 'payload', payload)
if model ~= '' then redis.call('HSET', job, 'model', model) end
redis.call('LPUSH', waiting, payload)
return 'queued'
