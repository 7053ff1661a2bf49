-- Make songs private. `songs` is a JSON list. It may have the mark of a complete set, which is no hash of a song.
-- KEYS: private_songs
-- ARGV: songs
for _, song_hash in ipairs(cjson.decode(songs)) do redis.call('SADD', private_songs, song_hash) end
