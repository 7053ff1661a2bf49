-- Lease an entry to a worker and count the attempt.
-- Returns {'claimed', attempts, releases, waited, is_first}, or one of {'gone'}, {'held'}, {'dead'}, {'poisoned'}.
-- An entry of a job that was cancelled is another request for it, pushed by hand.
-- A callback that exceeds a limit is refused, its job is not.
-- `waited` is the time since the enqueue in seconds, `is_first` is '1' if no worker had the job since then.
-- `delivery_id` and `callback` are empty for a message without a callback, `options` for one without options.
-- KEYS: processing, claims, job, callbacks, deliveries, held, held_bytes, dead, outbox, workers, order, index, history
-- ARGV: payload, job_id, token, last_token, worker, lease, max_attempts, ttl, letter, max_dead, delivery_prefix,
-- ARGV: error, delivery_id, callback, limits, options
local at = {callbacks = callbacks, deliveries = deliveries, held = held, held_bytes = held_bytes, outbox = outbox, prefix = delivery_prefix}
if not redis.call('LPOS', processing, payload) then return {'gone'} end
if not (is_kind(job, 'hash') and is_kind(callbacks, 'set') and is_kind(deliveries, 'zset')) then
  return {'poisoned'}
end
if await_callback(at, delivery_id, job_id, callback, ttl, limits) then
  redis.call('HSET', delivery_prefix .. delivery_id, 'job_id', job_id, 'url', '', 'attempts', 0, 'state', 'refused',
    'detail', 'Too many callbacks wait already.')
  list_delivery(at, delivery_id, ttl, cjson.decode(limits))
end

local state = redis.call('HGET', job, 'state')
local held = state == 'running' and number(job, 'lease_until') > now()
local mine = held and redis.call('HGET', job, 'worker') == worker
if held and not mine then
  redis.call('LREM', processing, 1, payload)
  redis.call('HDEL', claims, payload)
  return {'held'}
end
redis.call('ZREM', order, job_id)
if redis.call('HEXISTS', job, 'state') == 0 then list_job(index, job_id, ttl) end

local is_first = state == 'queued' and redis.call('HEXISTS', job, 'started_at') == 0
if state ~= 'queued' and state ~= 'running' then restart_job(job, state) end
redis.call('HSET', job, 'options', options)
local enqueued_at = number(job, 'enqueued_at')
if enqueued_at == 0 then enqueued_at = number(job, 'created_at') end
if enqueued_at == 0 then enqueued_at = now() end
local attempts = number(job, 'attempts')
-- A lease of this worker that it does not know: the reply was lost and no work was done.
local unheard = mine and redis.call('HGET', job, 'token') ~= last_token
if not unheard then attempts = attempts + 1 end
if attempts > tonumber(max_attempts) then
  redis.call('LREM', processing, 1, payload)
  redis.call('HDEL', claims, payload)
  push_dead_letter(dead, max_dead, letter)
  end_job(job, 'failed', ttl, 'error', error)
  record_end(history, job, job_id, '')
  release_callbacks(at, 'failed', error)
  return {'dead'}
end

redis.call('PERSIST', job)
drop_lease(job)
redis.call('HSET', job, 'state', 'running', 'attempts', attempts, 'progress', '0', 'token', token,
  'worker', worker, 'payload', payload, 'started_at', stamp(), 'lease_until', after(lease))
redis.call('HSET', claims, payload, job_id)
redis.call('ZADD', workers, after(lease), worker)
return {'claimed', tostring(attempts), tostring(number(job, 'give_backs')),
  string.format('%.3f', math.max(0, now() - enqueued_at)), is_first and '1' or '0'}
