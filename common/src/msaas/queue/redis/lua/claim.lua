-- Lease an entry to a worker and count the attempt.
-- Returns {'claimed', attempts, releases, waited, is_first}, or one of {'gone'}, {'held'}, {'cancelled'}, {'dead'}.
-- `waited` is the time since the enqueue in seconds, `is_first` is '1' if no worker had the job since then.
-- `delivery_id` and `callback` are empty for a message without a callback.
-- KEYS: processing, claims, job, callbacks, delivery, deliveries, dead, outbox, workers
-- ARGV: payload, job_id, token, last_token, worker, lease, max_attempts, ttl, letter, max_dead, delivery_prefix,
-- ARGV: error, delivery_id, callback, max_listed
if not redis.call('LPOS', processing, payload) then return {'gone'} end
await_callback(callbacks, delivery, deliveries, delivery_id, job_id, callback, ttl, max_listed)

local state = redis.call('HGET', job, 'state')
local held = state == 'running' and tonumber(redis.call('HGET', job, 'lease_until')) > now()
local mine = held and redis.call('HGET', job, 'worker') == worker
if (held and not mine) or state == 'cancelled' then
  redis.call('LREM', processing, 1, payload)
  redis.call('HDEL', claims, payload)
  return {held and 'held' or 'cancelled'}
end

local is_first = state == 'queued' and redis.call('HEXISTS', job, 'started_at') == 0
if state ~= 'queued' and state ~= 'running' then restart_job(job, state) end
local enqueued_at = redis.call('HGET', job, 'enqueued_at') or redis.call('HGET', job, 'created_at') or stamp()
local attempts = tonumber(redis.call('HGET', job, 'attempts') or 0)
-- A lease of this worker that it does not know: the reply was lost and no work was done.
local unheard = mine and redis.call('HGET', job, 'token') ~= last_token
if not unheard then attempts = attempts + 1 end
if attempts > tonumber(max_attempts) then
  redis.call('LREM', processing, 1, payload)
  redis.call('HDEL', claims, payload)
  push_dead_letter(dead, max_dead, letter)
  end_job(job, 'failed', ttl, 'error', error)
  release_callbacks(callbacks, outbox, delivery_prefix, 'failed')
  return {'dead'}
end

redis.call('PERSIST', job)
drop_lease(job)
redis.call('HSET', job, 'state', 'running', 'attempts', attempts, 'progress', '0', 'token', token,
  'worker', worker, 'payload', payload, 'started_at', stamp(), 'lease_until', after(lease))
redis.call('HSET', claims, payload, job_id)
redis.call('ZADD', workers, after(lease), worker)
return {'claimed', tostring(attempts), redis.call('HGET', job, 'give_backs') or '0',
  string.format('%.3f', math.max(0, now() - tonumber(enqueued_at))), is_first and '1' or '0'}
