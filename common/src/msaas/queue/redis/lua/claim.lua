-- Lease an entry to a worker and count the attempt.
-- Returns {'claimed', attempts, releases, created_at}, or one of {'gone'}, {'held'}, {'cancelled'}, {'dead'}.
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

if state ~= 'queued' and state ~= 'running' then
  redis.call('DEL', job)
  redis.call('HSET', job, 'created_at', stamp())
end
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
  redis.call('HGET', job, 'created_at') or stamp()}
