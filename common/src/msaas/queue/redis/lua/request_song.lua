-- Record that a client asks for a song, for `ttl` seconds. Returns 0, and records nothing, while it is deleted.
-- An owner with a name knows the song from then on. Without a name `owner_songs` stays as it is.
-- KEYS: requested, deletion, owner_songs
-- ARGV: ttl, song_hash, owner
if redis.call('EXISTS', deletion) == 1 then return 0 end
redis.call('SET', requested, '1', 'EX', ttl)
if owner ~= '' then redis.call('ZADD', owner_songs, stamp(), song_hash) end
return 1
