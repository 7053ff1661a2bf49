-- Record the abilities of a worker, as JSON, and remove the records of workers whose lease has expired.
-- KEYS: announced, workers
-- ARGV: worker, abilities
for _, name in ipairs(redis.call('HKEYS', announced)) do
  local lease_until = tonumber(redis.call('ZSCORE', workers, name) or 0)
  if lease_until <= now() then redis.call('HDEL', announced, name) end
end
redis.call('HSET', announced, worker, abilities)
return 1
