-- End an attempt that failed. `max_attempts` of 0 allows no further attempt. Returns 0 for a stale token.
-- KEYS: processing, claims, job, callbacks, outbox, held, held_bytes, history, waiting, dead
-- ARGV: token, payload, job_id, error, ttl, delivery_prefix, max_attempts, letter, max_dead
local at = {callbacks = callbacks, outbox = outbox, held = held, held_bytes = held_bytes, prefix = delivery_prefix}
if not is_kind(job, 'hash') then return 0 end
if redis.call('HGET', job, 'finished_by') == token then return 1 end
if redis.call('HGET', job, 'token') ~= token then return 0 end
redis.call('LREM', processing, 1, payload)
redis.call('HDEL', claims, payload)
local attempts = tonumber(redis.call('HGET', job, 'attempts') or 0)
if attempts < tonumber(max_attempts) then
  requeue(job, waiting, payload)
  redis.call('HSET', job, 'error', error)
  return 1
end
if tonumber(max_attempts) > 0 then push_dead_letter(dead, max_dead, letter) end
end_job(job, 'failed', ttl, 'error', error, 'finished_by', token)
record_end(history, job, job_id, '')
release_callbacks(at, 'failed', error)
return 1
