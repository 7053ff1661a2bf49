-- Record that a client asks for a song, for `ttl` seconds. Returns 0, and records nothing, while it is deleted.
-- An owner with a name knows the song from then on. Without a name `owner_songs` stays as it is.
-- With the visibility 'public' the song is not private any more. With 'private' it becomes private unless it is known
-- already: it is in the store, as `is_stored` of '1' tells, or a client asked for it a moment ago.
-- Returns 2, and records nothing, while the private songs are not complete. Without `complete` they need not be.
-- KEYS: requested, deletion, owner_songs, private_songs
-- ARGV: ttl, song_hash, owner, visibility, is_stored, complete
if complete ~= '' and redis.call('SISMEMBER', private_songs, complete) == 0 then return 2 end
if redis.call('EXISTS', deletion) == 1 then return 0 end
if visibility == 'public' then redis.call('SREM', private_songs, song_hash) end
if visibility == 'private' and is_stored ~= '1' and redis.call('EXISTS', requested) == 0 then
  redis.call('SADD', private_songs, song_hash)
end
redis.call('SET', requested, '1', 'EX', ttl)
if owner ~= '' then redis.call('ZADD', owner_songs, stamp(), song_hash) end
return 1
