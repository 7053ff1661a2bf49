-- KEYS waiting, alias, own
-- A full server refuses BLMOVE, but whoever works makes room.
return redis.call('LMOVE', KEYS[1], KEYS[3], 'RIGHT', 'LEFT')
  or redis.call('LMOVE', KEYS[2], KEYS[3], 'RIGHT', 'LEFT')
