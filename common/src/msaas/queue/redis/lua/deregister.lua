-- Return the unclaimed entries of a worker that stops. Claimed ones stay: only the end of the lease frees them.
-- KEYS: processing, claims, workers, waiting
-- ARGV: worker
for _, payload in ipairs(redis.call('LRANGE', processing, 0, -1)) do
  if redis.call('HEXISTS', claims, payload) == 0 then
    redis.call('LREM', processing, 1, payload)
    redis.call('RPUSH', waiting, payload)
  end
end
-- The reaper forgets the name later: a BLMOVE in flight may still fill the list.
if redis.call('EXISTS', processing) == 0 then redis.call('ZADD', workers, stamp(), worker) end
return 1
