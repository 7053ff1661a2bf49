-- Fails where `enqueue` would: on a full or read-only server, or a key of another type.
-- KEYS: waiting, alias, delayed, workers, probe
for _, list in ipairs({waiting, alias}) do redis.call('LLEN', list) end
for _, set in ipairs({delayed, workers}) do redis.call('ZCARD', set) end
redis.call('SET', probe, 1)
redis.call('DEL', probe)
