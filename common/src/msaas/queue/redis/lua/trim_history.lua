-- Drop the `count` oldest ends of the history if the oldest one is still `first`: another keeper may have been faster.
-- KEYS: history
-- ARGV: first, count
if redis.call('LINDEX', history, 0) == first then redis.call('LTRIM', history, count, -1) end
return 1
