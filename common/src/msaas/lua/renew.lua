-- KEYS job, workers
-- ARGV token, worker, lease, progress, model, device ('' where unknown)
local job, workers = unpack(KEYS)
local token, worker, lease, progress, model, device = unpack(ARGV)

if redis.call('HGET', job, 'token') ~= token then return 0 end
local lease_until = after(lease)
redis.call('HSET', job, 'lease_until', lease_until, 'progress', progress)
if model ~= '' then redis.call('HSET', job, 'model', model) end
if device ~= '' then redis.call('HSET', job, 'device', device) end
redis.call('ZADD', workers, lease_until, worker)
return 1
