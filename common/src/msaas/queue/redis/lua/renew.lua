-- Renew the lease of a claim and publish its progress. Returns 0 for a stale token.
-- `model`, `requested_model`, `device`, `duration`, `tag` and `fragments` are empty where nothing is new.
-- KEYS: job, workers, all_fragments
-- ARGV: token, worker, lease, progress, model, requested_model, device, duration, tag, fragments
if not is_kind(job, 'hash') or redis.call('HGET', job, 'token') ~= token then return 0 end
local lease_until = after(lease)
redis.call('HSET', job, 'lease_until', lease_until, 'progress', progress)
if device ~= '' then begin_work(job) end
if model ~= '' then redis.call('HSET', job, 'model', model) end
if requested_model ~= '' then redis.call('HSET', job, 'requested_model', requested_model) end
if device ~= '' then redis.call('HSET', job, 'device', device) end
if duration ~= '' then redis.call('HSET', job, 'duration_s', duration) end
if tag ~= '' then
  redis.call('HSET', job, 'pieces', fragments)
  redis.call('HSET', all_fragments, tag, fragments)
end
redis.call('ZADD', workers, lease_until, worker)
return 1
