-- Replace the record of a request, or delete it if `value` is empty. Returns 0 if another request has the record.
-- KEYS: record
-- ARGV: expected, value, ttl
if redis.call('GET', record) ~= expected then return 0 end
if value == '' then redis.call('DEL', record) else redis.call('SET', record, value, 'EX', ttl) end
return 1
