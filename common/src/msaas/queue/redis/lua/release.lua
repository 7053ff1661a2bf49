-- Return a claimed job to the queue without an attempt, at once or after `delay` seconds. Returns 0 for a stale token.
-- `error`, where it is not empty, tells clients why the job waits.
-- KEYS: processing, claims, job, waiting, delayed
-- ARGV: token, payload, delay, error
if not is_kind(job, 'hash') or redis.call('HGET', job, 'token') ~= token then return 0 end
redis.call('LREM', processing, 1, payload)
redis.call('HDEL', claims, payload)
redis.call('HINCRBY', job, 'attempts', -1)
if error ~= '' then redis.call('HSET', job, 'error', error) end
if tonumber(delay) > 0 then
  drop_lease(job)
  redis.call('HSET', job, 'state', 'queued', 'progress', '0')
  redis.call('ZADD', delayed, after(delay), payload)
else
  redis.call('HSET', job, 'give_backs', number(job, 'give_backs') + 1)
  requeue(job, waiting, payload)
end
return 1
