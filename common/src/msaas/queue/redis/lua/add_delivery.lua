-- Add a delivery that is due now: its job is done already. Returns 'added', or the limit that it exceeds.
-- KEYS: outbox, deliveries, held, held_bytes
-- ARGV: delivery_id, job_id, callback, ttl, limits, delivery_prefix
local at = {outbox = outbox, deliveries = deliveries, held = held, held_bytes = held_bytes, prefix = delivery_prefix}
local limit = describe_delivery(at, delivery_id, job_id, callback, ttl, limits)
if limit then return limit end
if is_wanted(delivery_prefix .. delivery_id, 'done') then
  release_delivery(at, delivery_id, 'done', '')
else
  redis.call('HSET', delivery_prefix .. delivery_id, 'state', 'skipped')
  drop_payload(at, delivery_id)
end
return 'added'
