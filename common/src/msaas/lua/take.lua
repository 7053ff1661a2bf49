-- KEYS own, alias, waiting, workers
-- ARGV worker, lease
-- Whoever takes works on nothing, so what lies in its list was handed over in a reply that got lost.
-- A full server refuses BLMOVE, but not this: whoever works makes room.
local own, alias, waiting, workers = unpack(KEYS)
redis.call('ZADD', workers, after(ARGV[2]), ARGV[1])
return redis.call('LINDEX', own, -1)
  or redis.call('LMOVE', alias, own, 'RIGHT', 'LEFT')
  or redis.call('LMOVE', waiting, own, 'RIGHT', 'LEFT')
