-- KEYS workers
-- ARGV worker, lease
return redis.call('ZADD', KEYS[1], after(ARGV[2]), ARGV[1])
