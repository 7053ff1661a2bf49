-- Make songs private. `songs` is a JSON list of hashes, and of the mark of a complete set at the end.
-- Does nothing once the set is complete: a song may have become public since.
-- KEYS: private_songs
-- ARGV: songs, complete
if redis.call('SISMEMBER', private_songs, complete) == 1 then return end
for _, song_hash in ipairs(cjson.decode(songs)) do redis.call('SADD', private_songs, song_hash) end
