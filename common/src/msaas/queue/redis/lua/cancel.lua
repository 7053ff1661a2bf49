-- Cancel requests for a job that waits or runs. The job ends with the last of them.
-- `request_id` is that of one request, empty for all of `owner`, `*` for all. With `any_owner` of '1' a request may be
-- that of another owner, and a job without requests, which was pushed by hand, is cancelled. Requests of other accounts
-- are left, unless `with_accounts` is '1'.
-- Returns {'cancelled', 0}, {'waiting', left} with the number of requests that go on, {'foreign', left} where none of
-- them is the caller's, or {state, 0} of a job that has ended, 'absent' without one.
-- KEYS: job, requests, waiting, alias, delayed, workers, order, turns, callbacks, outbox, held, held_bytes, history
-- ARGV: job_id, request_id, owner, any_owner, with_accounts, ttl, processing_prefix, claims_prefix, delivery_prefix
local at = {callbacks = callbacks, outbox = outbox, held = held, held_bytes = held_bytes, prefix = delivery_prefix}
if not is_kind(job, 'hash') then return {'absent', 0} end
local state, payload, holder = unpack(redis.call('HMGET', job, 'state', 'payload', 'owner'))
if state ~= 'queued' and state ~= 'running' then return {state or 'absent', 0} end

local function is_meant(id, sender)
  local is_admitted = any_owner == '1' and (with_accounts == '1' or not is_of_account(sender))
  if not is_admitted and sender ~= owner then return false end
  if request_id == '*' then return true end
  if request_id == '' then return sender == owner end
  return id == request_id
end

local function cancel_callback_of(request)
  for _, delivery in ipairs(redis.call('SMEMBERS', callbacks)) do
    if redis.call('HGET', delivery_prefix .. delivery, 'request') == request then
      end_callback(at, delivery, 'cancelled', '')
      redis.call('SREM', callbacks, delivery)
    end
  end
end

local found = any_owner == '1' and redis.call('SCARD', requests) == 0
for _, request in ipairs(redis.call('SMEMBERS', requests)) do
  local id, sender = string.match(request, '^(%S+) ?(.*)$')
  if is_meant(id, sender) then
    found = true
    redis.call('SREM', requests, request)
    cancel_callback_of(request)
  end
end
local left = redis.call('SCARD', requests)
if not found then return {'foreign', left} end
if left > 0 then return {'waiting', left} end

if payload then
  for _, list in ipairs({waiting, alias}) do redis.call('LREM', list, -1, payload) end
  redis.call('ZREM', delayed, payload)
  for _, worker in ipairs(redis.call('ZRANGE', workers, 0, -1)) do
    redis.call('LREM', processing_prefix .. worker, 1, payload)
    redis.call('HDEL', claims_prefix .. worker, payload)
  end
end
leave_order({order = order, turns = turns}, job_id, holder)
end_job(job, 'cancelled', ttl)
redis.call('HDEL', job, 'error')
record_end(history, job, job_id, '')
release_callbacks(at, 'cancelled', '')
return {'cancelled', 0}
