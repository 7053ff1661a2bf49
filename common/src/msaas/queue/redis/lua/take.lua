-- Move the next entry to the list of the worker, without waiting for one. Returns nil when there is none.
-- A worker that asks for work holds none: an entry in its list is from a lost reply, and is returned again.
-- A full server refuses BLMOVE but runs this step: finishing a job frees memory.
-- KEYS: processing, alias, waiting, workers
-- ARGV: worker, lease
redis.call('ZADD', workers, after(lease), worker)
return redis.call('LINDEX', processing, -1)
  or redis.call('LMOVE', alias, processing, 'RIGHT', 'LEFT')
  or redis.call('LMOVE', waiting, processing, 'RIGHT', 'LEFT')
