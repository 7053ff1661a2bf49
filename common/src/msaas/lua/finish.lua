-- KEYS own, claims, job, callbacks, outbox
-- ARGV token, payload, model, device ('' where none did the work), stems, ttl, delivery prefix
local own, claims, job, callbacks, outbox = unpack(KEYS)
local token, payload, model, device, stems, ttl, delivery_prefix = unpack(ARGV)

-- The same step again, because its reply was lost, is no stale lease.
if redis.call('HGET', job, 'finished_by') == token then return 1 end
if redis.call('HGET', job, 'token') ~= token then return 0 end
redis.call('LREM', own, 1, payload)
redis.call('HDEL', claims, payload)
if device ~= '' then redis.call('HSET', job, 'device', device) end
end_job(job, 'done', ttl, 'progress', '1', 'model', model, 'stems', stems, 'finished_by', token)
release_callbacks(callbacks, outbox, delivery_prefix, 'done')
return 1
