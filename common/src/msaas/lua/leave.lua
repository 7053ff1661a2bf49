-- KEYS own, claims, workers, waiting
-- ARGV worker
-- Entries under a lease stay for the reaper: only time can say that nobody works on them.
local own, claims, workers, waiting = unpack(KEYS)
for _, payload in ipairs(redis.call('LRANGE', own, 0, -1)) do
  if redis.call('HEXISTS', claims, payload) == 0 then
    redis.call('LREM', own, 1, payload)
    redis.call('RPUSH', waiting, payload)
  end
end
-- The name stays until the reaper forgets it: a move that is still under way may fill the list once more.
if redis.call('EXISTS', own) == 0 then redis.call('ZADD', workers, stamp(), ARGV[1]) end
return 1
