-- KEYS outbox, delivery, deliveries
-- ARGV delivery id, job id, url, data and secret ('' for none), ttl
local outbox, delivery, deliveries = unpack(KEYS)
local id, job_id, url, data, secret, ttl = unpack(ARGV)
describe_delivery(delivery, deliveries, id, job_id, url, data, secret, ttl)
release(outbox, delivery, id, 'done')
return 1
