-- What every step shares. Times are the server's, in seconds.
local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function stamp()
  return string.format('%.6f', now())
end

-- The job's callbacks become due now. After a failure only those that can say so are sent.
local function release_callbacks(callbacks, outbox, delivery_prefix, done)
  for _, id in ipairs(redis.call('SMEMBERS', callbacks)) do
    local delivery = delivery_prefix .. id
    if done or redis.call('HEXISTS', delivery, 'data') == 0 then
      redis.call('HSET', delivery, 'state', 'pending', 'job_state', done and 'done' or 'failed')
      redis.call('ZADD', outbox, stamp(), id)
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

-- The lease ends, whatever becomes of the job.
local function drop_lease(job)
  redis.call('HDEL', job, 'token', 'lease_until', 'worker', 'payload')
end

local function end_job(job, state, ttl, ...)
  drop_lease(job)
  redis.call('HSET', job, 'state', state, 'finished_at', stamp(), ...)
  redis.call('EXPIRE', job, ttl)
end

local function requeue(job, waiting, payload)
  drop_lease(job)
  redis.call('HSET', job, 'state', 'queued', 'progress', '0')
  redis.call('RPUSH', waiting, payload)
end
