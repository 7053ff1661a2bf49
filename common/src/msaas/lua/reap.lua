-- KEYS workers, waiting, delayed, dead, outbox
-- ARGV own prefix, claims prefix, delivery prefix, max attempts, ttl, max dead, error
local workers, waiting, delayed, dead, outbox = unpack(KEYS)
local own_prefix, claims_prefix, delivery_prefix, max_attempts, ttl, max_dead, error_json = unpack(ARGV)

-- A stopped worker may still be handed an entry by a call it made before; so its name is kept for a while.
local FORGET_AFTER_S = 3600
local BATCH = 100
local returned = {}

for _, payload in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', stamp(), 'LIMIT', 0, BATCH)) do
  redis.call('ZREM', delayed, payload)
  redis.call('RPUSH', waiting, payload)
end

local function return_claimed(payload, job_id, worker)
  local job = 'job:' .. job_id
  if redis.call('HGET', job, 'worker') ~= worker then return end
  if tonumber(redis.call('HGET', job, 'attempts') or 0) < tonumber(max_attempts) then
    requeue(job, waiting, payload)
  else
    local letter = cjson.encode({payload = payload, reason = 'attempts_exhausted', at = now()})
    lay_with_the_dead(dead, max_dead, letter)
    end_job(job, 'failed', ttl, 'error', error_json)
    release_callbacks(job .. ':callbacks', outbox, delivery_prefix, 'failed')
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
