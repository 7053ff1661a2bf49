-- List a private song for its removal, and let nothing ask for it for `ttl` seconds. Returns 0 for a song that is not
-- private, which leaves the list, and for one that is being deleted.
-- KEYS: private_songs, removals, deletion
-- ARGV: song_hash, ttl
if redis.call('SISMEMBER', private_songs, song_hash) == 0 then
  redis.call('ZREM', removals, song_hash)
  return 0
end
redis.call('ZADD', removals, 'NX', stamp(), song_hash)
return redis.call('SET', deletion, '1', 'NX', 'EX', ttl) and 1 or 0
