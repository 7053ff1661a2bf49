-- End a job as done and release its callbacks. Returns 0 for a stale token.
-- `device` is empty when the result was there before this job.
-- `weights` is the SHA-256 of the model's.
-- KEYS: processing, claims, job, callbacks, outbox, held, held_bytes, history
-- ARGV: token, payload, job_id, model, requested_model, device, weights, stems, ttl, delivery_prefix
local at = {callbacks = callbacks, outbox = outbox, held = held, held_bytes = held_bytes, prefix = delivery_prefix}
if not is_kind(job, 'hash') then return 0 end
-- The step is idempotent: it is repeated when its reply was lost.
if redis.call('HGET', job, 'finished_by') == token then return 1 end
if redis.call('HGET', job, 'token') ~= token then return 0 end
redis.call('LREM', processing, 1, payload)
redis.call('HDEL', claims, payload)
if device ~= '' then
  begin_work(job)
  redis.call('HSET', job, 'device', device)
end
if requested_model ~= '' then redis.call('HSET', job, 'requested_model', requested_model) end
end_job(job, 'done', ttl, 'progress', '1', 'model', model, 'stems', stems, 'finished_by', token)
redis.call('HDEL', job, 'error')
record_end(history, job, job_id, weights)
redis.call('HDEL', job, 'enqueued_at')
release_callbacks(at, 'done', '')
return 1
