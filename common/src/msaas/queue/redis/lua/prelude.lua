-- Shared by every step. Times are the server's, in Unix seconds.
local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function after(seconds)
  return string.format('%.6f', now() + tonumber(seconds))
end

local function stamp()
  return after(0)
end

local function describe_delivery(delivery, deliveries, id, job_id, callback, ttl, max_listed)
  local fields = cjson.decode(callback)
  redis.call('HSET', delivery, 'job_id', job_id, 'url', fields.url, 'state', 'waiting', 'attempts', 0)
  if fields.data ~= '' then redis.call('HSET', delivery, 'data', fields.data) end
  if fields.secret ~= '' then redis.call('HSET', delivery, 'secret', fields.secret) end
  redis.call('EXPIRE', delivery, ttl)
  redis.call('ZADD', deliveries, stamp(), id)
  redis.call('ZREMRANGEBYRANK', deliveries, 0, -max_listed - 1)
  redis.call('EXPIRE', deliveries, ttl)
end

-- Let a callback wait for its job. It counts once, however often its message is delivered.
local function await_callback(callbacks, delivery, deliveries, id, ...)
  if id == '' or redis.call('EXISTS', delivery) == 1 then return end
  describe_delivery(delivery, deliveries, id, ...)
  redis.call('SADD', callbacks, id)
end

local function release_delivery(outbox, delivery, id, job_state)
  redis.call('HSET', delivery, 'state', 'pending', 'job_state', job_state)
  redis.call('ZADD', outbox, stamp(), id)
end

-- Make the callbacks of an ended job due. After a failure, those with `data` are skipped: they cannot tell it.
local function release_callbacks(callbacks, outbox, delivery_prefix, job_state)
  for _, id in ipairs(redis.call('SMEMBERS', callbacks)) do
    local delivery = delivery_prefix .. id
    if job_state == 'done' or redis.call('HEXISTS', delivery, 'data') == 0 then
      release_delivery(outbox, delivery, id, job_state)
    else
      redis.call('HSET', delivery, 'state', 'skipped')
    end
  end
  redis.call('DEL', callbacks)
end

local function push_dead_letter(dead, max_dead, letter)
  redis.call('LPUSH', dead, letter)
  redis.call('LTRIM', dead, 0, max_dead - 1)
end

-- End the lease. The fragments of its attempt are no longer shown.
local function drop_lease(job)
  redis.call('HDEL', job, 'token', 'lease_until', 'worker', 'pieces')
end

-- Begin the record of a job anew. A job that was done keeps its facts until its work begins again: a worker may
-- find that the result is still in the store.
local function restart_job(job, state)
  if state == 'done' then
    redis.call('PERSIST', job)
    redis.call('HDEL', job, 'attempts', 'stems', 'error', 'started_at', 'finished_at', 'finished_by', 'give_backs')
    redis.call('HSET', job, 'enqueued_at', stamp())
  else
    redis.call('DEL', job)
    redis.call('HSET', job, 'created_at', stamp())
  end
end

-- Drop the facts of the earlier result.
local function begin_work(job)
  local enqueued_at = redis.call('HGET', job, 'enqueued_at')
  if not enqueued_at then return end
  redis.call('HDEL', job, 'enqueued_at', 'model', 'requested_model', 'device')
  redis.call('HSET', job, 'created_at', enqueued_at)
end

local function end_job(job, state, ttl, ...)
  drop_lease(job)
  if state ~= 'done' then begin_work(job) end
  redis.call('HDEL', job, 'payload')
  redis.call('HSET', job, 'state', state, 'finished_at', stamp(), ...)
  redis.call('EXPIRE', job, ttl)
end

local function requeue(job, waiting, payload)
  drop_lease(job)
  redis.call('HSET', job, 'state', 'queued', 'progress', '0')
  redis.call('RPUSH', waiting, payload)
end
