-- Return the songs whose removal began `age` seconds ago or earlier, the oldest first.
-- KEYS: removals
-- ARGV: age
return redis.call('ZRANGEBYSCORE', removals, '-inf', after(-age))
