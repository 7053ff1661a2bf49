-- KEYS own, claims, job, callbacks, outbox, waiting, dead
-- ARGV token, payload, error, ttl, delivery prefix, max attempts ('0': no further attempt), dead letter, max dead
local own, claims, job, callbacks, outbox, waiting, dead = unpack(KEYS)
local token, payload, error_json, ttl, delivery_prefix, max_attempts, letter, max_dead = unpack(ARGV)

if redis.call('HGET', job, 'finished_by') == token then return 1 end
if redis.call('HGET', job, 'token') ~= token then return 0 end
redis.call('LREM', own, 1, payload)
redis.call('HDEL', claims, payload)
local attempts = tonumber(redis.call('HGET', job, 'attempts') or 0)
if attempts < tonumber(max_attempts) then
  requeue(job, waiting, payload)
  redis.call('HSET', job, 'error', error_json)
  return 1
end
if tonumber(max_attempts) > 0 then lay_with_the_dead(dead, max_dead, letter) end
end_job(job, 'failed', ttl, 'error', error_json, 'finished_by', token)
release_callbacks(callbacks, outbox, delivery_prefix, 'failed')
return 1
