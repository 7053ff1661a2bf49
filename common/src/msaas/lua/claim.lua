-- KEYS own, claims, job, callbacks, delivery, deliveries, dead, outbox, workers
-- ARGV payload, job id, token, last token, worker, lease, max attempts, ttl, dead letter, max dead,
--      delivery prefix, error, delivery id ('' for none), url, data and secret ('' for none)
local own, claims, job, callbacks, delivery, deliveries, dead, outbox, workers = unpack(KEYS)
local payload, job_id, token, last_token, worker, lease, max_attempts, ttl, letter, max_dead,
  delivery_prefix, error_json, delivery_id, url, data, secret = unpack(ARGV)

if not redis.call('LPOS', own, payload) then return {'gone'} end
await_callback(callbacks, delivery, deliveries, delivery_id, job_id, url, data, secret, ttl)

local state = redis.call('HGET', job, 'state')
local held = state == 'running' and tonumber(redis.call('HGET', job, 'lease_until')) > now()
local mine = held and redis.call('HGET', job, 'worker') == worker
if (held and not mine) or state == 'cancelled' then
  redis.call('LREM', own, 1, payload)
  redis.call('HDEL', claims, payload)
  return {held and 'held' or 'cancelled'}
end

if state ~= 'queued' and state ~= 'running' then
  redis.call('DEL', job)
  redis.call('HSET', job, 'created_at', stamp())
end
local attempts = tonumber(redis.call('HGET', job, 'attempts') or 0)
-- A lease of this very worker that it never heard of: the reply was lost, no work was done.
local unheard = mine and redis.call('HGET', job, 'token') ~= last_token
if not unheard then attempts = attempts + 1 end
if attempts > tonumber(max_attempts) then
  redis.call('LREM', own, 1, payload)
  redis.call('HDEL', claims, payload)
  lay_with_the_dead(dead, max_dead, letter)
  end_job(job, 'failed', ttl, 'error', error_json)
  release_callbacks(callbacks, outbox, delivery_prefix, 'failed')
  return {'dead'}
end

redis.call('PERSIST', job)
drop_lease(job)
redis.call('HSET', job, 'state', 'running', 'attempts', attempts, 'progress', '0', 'token', token,
  'worker', worker, 'payload', payload, 'started_at', stamp(), 'lease_until', after(lease))
redis.call('HSET', claims, payload, job_id)
redis.call('ZADD', workers, after(lease), worker)
return {'claimed', tostring(attempts), redis.call('HGET', job, 'give_backs') or '0'}
