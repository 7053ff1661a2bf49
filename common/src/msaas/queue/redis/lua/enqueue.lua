-- Push a job in fair order unless it waits or runs; keep its callback either way. Returns the state of the job.
-- A job that waits already moves forward if it is the owner's turn sooner.
-- `delivery_id` and `callback` are empty for a request without a callback, `max_waiting` is without a limit.
-- `request` is `<request id> <owner>`. `duration` is empty where it is not known, `options` where there are none.
-- Returns 'full', and changes nothing, where a new job would exceed the limit, and 'outbox_full' or 'job_full'
-- where its callback would exceed one.
-- KEYS: waiting, alias, delayed, job, callbacks, deliveries, held, held_bytes, workers, order, turns, index
-- ARGV: payload, model, duration, delivery_id, job_id, callback, request, owner, ttl, processing_prefix,
-- ARGV: delivery_prefix, job_prefix, limits, max_waiting, options
local at = {callbacks = callbacks, deliveries = deliveries, held = held, held_bytes = held_bytes, prefix = delivery_prefix}
local line = {waiting = waiting, order = order, turns = turns, job = job_prefix, ttl = ttl}
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
local is_open = entry and (state == 'running' or state == 'queued')
local is_waiting = is_open and redis.call('LPOS', waiting, entry)
local is_in_a_list = is_waiting or is_open and (redis.call('ZSCORE', delayed, entry) or is_with_a_worker(entry))

if not is_in_a_list and max_waiting ~= '' then
  local others = redis.call('LLEN', waiting) + redis.call('LLEN', alias) + redis.call('ZCARD', delayed)
  if others >= tonumber(max_waiting) then return 'full' end
end
local limit = await_callback(at, delivery_id, job_id, callback, ttl, limits, request)
if limit then return limit end

list_job(index, job_id, ttl)
local turn = next_turn(line, owner)
if is_in_a_list then
  add_request(job, request)
  local place = is_waiting and redis.call('ZSCORE', order, job_id)
  if place and turn < math.floor(tonumber(place)) then
    leave_order(line, job_id, redis.call('HGET', job, 'owner'))
    redis.call('LREM', waiting, 1, entry)
    push_in_turn(line, turn, owner, job_id, entry)
  end
  return state
end

restart_job(job, state)
redis.call('HSET', job, 'state', 'queued', 'progress', '0', 'attempts', 0, 'payload', payload, 'options', options)
if model ~= '' then redis.call('HSETNX', job, 'model', model) end
if duration ~= '' then redis.call('HSET', job, 'duration_s', duration) end
add_request(job, request)
push_in_turn(line, turn, owner, job_id, payload)
return 'queued'
