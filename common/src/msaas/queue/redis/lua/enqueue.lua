-- Push a job unless it waits or runs; keep its callback either way. Returns the state of the job.
-- `delivery_id` and `callback` are empty for a request without a callback, `max_waiting` is without a limit.
-- Returns 'full', and changes nothing, where a new job would exceed the limit, and 'outbox_full' or 'job_full'
-- where its callback would exceed one.
-- KEYS: waiting, alias, delayed, job, callbacks, deliveries, held, held_bytes, workers
-- ARGV: payload, model, delivery_id, job_id, callback, ttl, processing_prefix, delivery_prefix, limits, max_waiting
local at = {callbacks = callbacks, deliveries = deliveries, held = held, held_bytes = held_bytes, prefix = delivery_prefix}
for key, kind in pairs({[job] = 'hash', [callbacks] = 'set', [deliveries] = 'zset'}) do
  if not is_kind(key, kind) then redis.call('DEL', key) end
end

local function is_with_a_worker(entry)
  for _, worker in ipairs(redis.call('ZRANGE', workers, 0, -1)) do
    if redis.call('LPOS', processing_prefix .. worker, entry) then return true end
  end
  return false
end

-- The state alone proves nothing: the entry of the job must be in a list.
local state, entry = unpack(redis.call('HMGET', job, 'state', 'payload'))
local is_in_a_list = entry and (state == 'running' or state == 'queued')
  and (redis.call('LPOS', waiting, entry) or redis.call('ZSCORE', delayed, entry) or is_with_a_worker(entry))

if not is_in_a_list and max_waiting ~= '' then
  local others = redis.call('LLEN', waiting) + redis.call('LLEN', alias) + redis.call('ZCARD', delayed)
  if others >= tonumber(max_waiting) then return 'full' end
end
local limit = await_callback(at, delivery_id, job_id, callback, ttl, limits)
if limit then return limit end
if is_in_a_list then return state end

restart_job(job, state)
redis.call('HSET', job, 'state', 'queued', 'progress', '0', 'attempts', 0, 'payload', payload)
if model ~= '' then redis.call('HSETNX', job, 'model', model) end
redis.call('LPUSH', waiting, payload)
return 'queued'
