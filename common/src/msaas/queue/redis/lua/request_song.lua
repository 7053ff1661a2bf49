-- Record that a client asks for a song, for `ttl` seconds. Returns 0, and records nothing, while it is deleted.
-- KEYS: requested, deletion
-- ARGV: ttl
if redis.call('EXISTS', deletion) == 1 then return 0 end
redis.call('SET', requested, '1', 'EX', ttl)
return 1
