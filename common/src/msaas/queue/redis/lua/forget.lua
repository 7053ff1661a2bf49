-- Delete the record of a job that ended in `state`. Any other record stays.
-- KEYS: job
-- ARGV: state
if is_kind(job, 'hash') and redis.call('HGET', job, 'state') == state then redis.call('DEL', job) end
