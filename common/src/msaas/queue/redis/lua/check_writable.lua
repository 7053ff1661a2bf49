-- Fails where a request for a song would: on a full or read-only server, or a key of another type.
-- KEYS: waiting, alias, delayed, workers, index, held, held_bytes, private_songs, probe
for kind, keys in pairs({
  list = {waiting, alias},
  zset = {delayed, workers, index, held},
  string = {held_bytes},
  set = {private_songs},
}) do
  for _, key in ipairs(keys) do
    if not is_kind(key, kind) then return redis.error_reply('WRONGTYPE ' .. key .. ' is no ' .. kind) end
  end
end
redis.call('SET', probe, 1)
redis.call('DEL', probe)
