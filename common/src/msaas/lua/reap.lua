-- KEYS workers, waiting, delayed, dead, outbox
-- ARGV own prefix, claims prefix, delivery prefix, keys of a job and of its callbacks (%s for its id),
--      max attempts, ttl, max dead, bytes of a letter, error
local workers, waiting, delayed, dead, outbox = unpack(KEYS)
local own_prefix, claims_prefix, delivery_prefix, job_key, callbacks_key,
  max_attempts, ttl, max_dead, letter_bytes, error_json = unpack(ARGV)

-- A stopped worker may still be handed an entry by a call it made before; so its name is kept for a while.
local FORGET_AFTER_S = 3600
local BATCH = 100
local returned = {}

for _, payload in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', stamp(), 'LIMIT', 0, BATCH)) do
  redis.call('ZREM', delayed, payload)
  redis.call('RPUSH', waiting, payload)
end

-- As `dead_letter` writes it. A job is UTF-8; a character that the cut went through is left out.
local function letter_of(payload)
  local kept = payload
  if #payload > tonumber(letter_bytes) then
    kept = string.gsub(string.sub(payload, 1, letter_bytes), '[\192-\255][\128-\191]*$', '')
  end
  local at = math.floor(now() * 1000) / 1000
  return cjson.encode({payload = kept, bytes = #payload, reason = cjson.decode(error_json).code, at = at})
end

local function return_claimed(payload, job_id, worker)
  local job = string.format(job_key, job_id)
  if redis.call('HGET', job, 'worker') ~= worker then return end
  if tonumber(redis.call('HGET', job, 'attempts') or 0) < tonumber(max_attempts) then
    requeue(job, waiting, payload)
  else
    lay_with_the_dead(dead, max_dead, letter_of(payload))
    end_job(job, 'failed', ttl, 'error', error_json)
    release_callbacks(string.format(callbacks_key, job_id), outbox, delivery_prefix, 'failed')
  end
  table.insert(returned, job_id)
end

for _, worker in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', stamp())) do
  local own, claims = own_prefix .. worker, claims_prefix .. worker
  for _, payload in ipairs(redis.call('LRANGE', own, 0, -1)) do
    local job_id = redis.call('HGET', claims, payload)
    if job_id then return_claimed(payload, job_id, worker) else redis.call('RPUSH', waiting, payload) end
  end
  redis.call('DEL', own, claims)
  redis.call('ZREMRANGEBYSCORE', workers, '-inf', string.format('%.6f', now() - FORGET_AFTER_S))
end
return returned
