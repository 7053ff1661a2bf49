-- KEYS job, workers, pieces
-- ARGV token, worker, lease, progress, model, device ('' where unknown), tag and text of pieces ('' where none is new)
local job, workers, all_pieces = unpack(KEYS)
local token, worker, lease, progress, model, device, tag, pieces = unpack(ARGV)

if redis.call('HGET', job, 'token') ~= token then return 0 end
local lease_until = after(lease)
redis.call('HSET', job, 'lease_until', lease_until, 'progress', progress)
if model ~= '' then redis.call('HSET', job, 'model', model) end
if device ~= '' then redis.call('HSET', job, 'device', device) end
if tag ~= '' then
  redis.call('HSET', job, 'pieces', pieces)
  redis.call('HSET', all_pieces, tag, pieces)
end
redis.call('ZADD', workers, lease_until, worker)
return 1
