-- Let nothing ask for a song while it is deleted, for `ttl` seconds. Returns 0 for a song that must stay.
-- KEYS: requested, deletion
-- ARGV: ttl
if redis.call('EXISTS', requested, deletion) > 0 then return 0 end
redis.call('SET', deletion, '1', 'EX', ttl)
return 1
