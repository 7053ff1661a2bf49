-- Record the models that a worker runs, as JSON, and remove the records of workers whose lease has expired.
-- KEYS: models, workers
-- ARGV: worker, runs
for _, name in ipairs(redis.call('HKEYS', models)) do
  local lease_until = tonumber(redis.call('ZSCORE', workers, name) or 0)
  if lease_until <= now() then redis.call('HDEL', models, name) end
end
redis.call('HSET', models, worker, runs)
return 1
