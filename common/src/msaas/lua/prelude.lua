-- What every step shares. Times are the server's, in seconds.
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

local MAX_LISTED = 100

local function describe_delivery(delivery, deliveries, id, job_id, url, data, secret, ttl)
  redis.call('HSET', delivery, 'job_id', job_id, 'url', url, 'state', 'waiting', 'attempts', 0)
  if data ~= '' then redis.call('HSET', delivery, 'data', data) end
  if secret ~= '' then redis.call('HSET', delivery, 'secret', secret) end
  redis.call('EXPIRE', delivery, ttl)
  redis.call('ZADD', deliveries, stamp(), id)
  redis.call('ZREMRANGEBYRANK', deliveries, 0, -MAX_LISTED - 1)
  redis.call('EXPIRE', deliveries, ttl)
end

-- A callback counts once, however often its message is delivered.
local function await_callback(callbacks, delivery, deliveries, id, ...)
  if id == '' or redis.call('EXISTS', delivery) == 1 then return end
  describe_delivery(delivery, deliveries, id, ...)
  redis.call('SADD', callbacks, id)
end

local function release(outbox, delivery, id, job_state)
  redis.call('HSET', delivery, 'state', 'pending', 'job_state', job_state)
  redis.call('ZADD', outbox, stamp(), id)
end

-- The job's callbacks become due now. After a failure only those that can say so are sent.
local function release_callbacks(callbacks, outbox, delivery_prefix, job_state)
  for _, id in ipairs(redis.call('SMEMBERS', callbacks)) do
    local delivery = delivery_prefix .. id
    if job_state == 'done' or redis.call('HEXISTS', delivery, 'data') == 0 then
      release(outbox, delivery, id, job_state)
    else
      redis.call('HSET', delivery, 'state', 'skipped')
    end
  end
  redis.call('DEL', callbacks)
end

local function lay_with_the_dead(dead, max_dead, letter)
  redis.call('LPUSH', dead, letter)
  redis.call('LTRIM', dead, 0, max_dead - 1)
end

-- The lease ends, whatever becomes of the job, and nobody is shown its pieces any more.
local function drop_lease(job)
  redis.call('HDEL', job, 'token', 'lease_until', 'worker', 'pieces')
end

local function end_job(job, state, ttl, ...)
  drop_lease(job)
  redis.call('HDEL', job, 'payload')
  redis.call('HSET', job, 'state', state, 'finished_at', stamp(), ...)
  redis.call('EXPIRE', job, ttl)
end

local function requeue(job, waiting, payload)
  drop_lease(job)
  redis.call('HSET', job, 'state', 'queued', 'progress', '0')
  redis.call('RPUSH', waiting, payload)
end
