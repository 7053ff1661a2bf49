-- Renew the lease of a worker that has no job.
-- KEYS: workers
-- ARGV: worker, lease
return redis.call('ZADD', workers, after(lease), worker)
