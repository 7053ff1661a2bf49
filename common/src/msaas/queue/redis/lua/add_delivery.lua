-- Add a delivery that is due now: its job is done already.
-- KEYS: outbox, delivery, deliveries
-- ARGV: delivery_id, job_id, callback, ttl, max_listed
describe_delivery(delivery, deliveries, delivery_id, job_id, callback, ttl, max_listed)
release_delivery(outbox, delivery, delivery_id, 'done')
return 1
