-- Let nothing ask for the song of a cancelled job while its unfinished stems are deleted, for `ttl` seconds.
-- Returns 0 if the job is not cancelled any more, or another process deletes the song.
-- KEYS: job, deletion
-- ARGV: ttl
if not is_kind(job, 'hash') or redis.call('HGET', job, 'state') ~= 'cancelled' then return 0 end
return redis.call('SET', deletion, '1', 'NX', 'EX', ttl) and 1 or 0
