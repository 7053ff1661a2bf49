-- Return delayed jobs that are due and the jobs of workers whose lease expired. Returns the ids of the latter.
-- `job_prefix` and `callbacks_suffix` name the keys of a job around its id.
-- KEYS: workers, waiting, delayed, dead, outbox, held, held_bytes, history
-- ARGV: processing_prefix, claims_prefix, delivery_prefix, job_prefix, callbacks_suffix, max_attempts, ttl, max_dead,
-- ARGV: max_payload, error, forget_after
local BATCH = 100
local returned = {}

for _, payload in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', stamp(), 'LIMIT', 0, BATCH)) do
  redis.call('ZREM', delayed, payload)
  redis.call('RPUSH', waiting, payload)
end

-- The same JSON as `encode_dead_letter` writes. Jobs are UTF-8: a character that the cut splits is left out.
local function letter_of(payload)
  local kept = payload
  if #payload > tonumber(max_payload) then
    kept = string.gsub(string.sub(payload, 1, max_payload), '[\192-\255][\128-\191]*$', '')
  end
  local at = math.floor(now() * 1000) / 1000
  return cjson.encode({payload = kept, bytes = #payload, reason = cjson.decode(error).code, at = at})
end

local function return_claimed(payload, job_id, worker)
  local job = job_prefix .. job_id
  -- The next claim moves a poisoned job to the dead-letter list.
  if not is_kind(job, 'hash') then return redis.call('RPUSH', waiting, payload) end
  if redis.call('HGET', job, 'worker') ~= worker then return end
  if number(job, 'attempts') < tonumber(max_attempts) then
    requeue(job, waiting, payload)
  else
    push_dead_letter(dead, max_dead, letter_of(payload))
    end_job(job, 'failed', ttl, 'error', error)
    record_end(history, job, job_id, '')
    local at = {callbacks = job .. callbacks_suffix, outbox = outbox, held = held, held_bytes = held_bytes,
      prefix = delivery_prefix}
    release_callbacks(at, 'failed', error)
  end
  table.insert(returned, job_id)
end

for _, worker in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', stamp())) do
  local processing, claims = processing_prefix .. worker, claims_prefix .. worker
  for _, payload in ipairs(redis.call('LRANGE', processing, 0, -1)) do
    local job_id = redis.call('HGET', claims, payload)
    if job_id then return_claimed(payload, job_id, worker) else redis.call('RPUSH', waiting, payload) end
  end
  redis.call('DEL', processing, claims)
  redis.call('ZREMRANGEBYSCORE', workers, '-inf', string.format('%.6f', now() - tonumber(forget_after)))
end
return returned
