-- Make songs private. `songs` is a JSON list of hashes, and of the mark of a complete set at the end.
-- KEYS: private_songs
-- ARGV: songs
for _, song_hash in ipairs(cjson.decode(songs)) do redis.call('SADD', private_songs, song_hash) end
