-- Shared by every step. `requests_suffix`, `max_requests`, `account_prefix`, `max_listed_jobs` and `max_history` come with it. Times are the server's, in Unix seconds.
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

-- A key of another type than the steps write is poisoned: each command on it would fail.
local function is_kind(key, kind)
  local found = redis.call('TYPE', key).ok
  return found == kind or found == 'none'
end

-- Return a count or a time, 0 for a missing or invalid field.
local function number(key, field)
  local value = tonumber(redis.call('HGET', key, field) or 0)
  return value and value >= 0 and value < 1e15 and value or 0
end

-- Callbacks. `at` has the names of their keys and `prefix`, that of the keys of deliveries. `at.held` has a member
-- `<id>:<bytes>` for each callback that is kept, by the end of its life, and `at.held_bytes` is the sum.
local function hold(at, id, bytes, ttl)
  if redis.call('ZADD', at.held, after(ttl), id .. ':' .. bytes) == 1 then
    redis.call('INCRBY', at.held_bytes, bytes)
  end
  redis.call('EXPIRE', at.held, ttl)
  redis.call('EXPIRE', at.held_bytes, ttl)
end

local function let_go(at, member)
  if redis.call('ZREM', at.held, member) == 1 then
    redis.call('DECRBY', at.held_bytes, string.match(member, '%d+$'))
  end
end

-- Return the limit that a further callback would exceed, 'outbox_full' or 'job_full', else nil.
local function exceeded_limit(at, bytes, limits)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', at.held, '-inf', stamp(), 'LIMIT', 0, 100)) do
    let_go(at, member)
  end
  if tonumber(redis.call('GET', at.held_bytes) or 0) + bytes > limits.bytes then return 'outbox_full' end
  local count, sum = 1, bytes
  for _, id in ipairs(redis.call('ZRANGE', at.deliveries, 0, -1)) do
    local other = redis.call('HGET', at.prefix .. id, 'bytes')
    if other then count, sum = count + 1, sum + tonumber(other) end
  end
  if count > limits.listed or sum > limits.job_bytes then return 'job_full' end
end

local function list_delivery(at, id, ttl, limits)
  redis.call('EXPIRE', at.prefix .. id, ttl)
  redis.call('ZADD', at.deliveries, stamp(), id)
  redis.call('ZREMRANGEBYRANK', at.deliveries, 0, -limits.listed - 1)
  redis.call('EXPIRE', at.deliveries, ttl)
end

-- Returns the limit that the callback exceeds, and then changes nothing. `request` is empty for a message by hand.
local function describe_delivery(at, id, job_id, callback, ttl, limits_json, request)
  local fields, limits, delivery = cjson.decode(callback), cjson.decode(limits_json), at.prefix .. id
  local limit = exceeded_limit(at, fields.bytes, limits)
  if limit then return limit end
  redis.call('HSET', delivery, 'job_id', job_id, 'url', fields.url, 'state', 'waiting', 'attempts', 0)
  redis.call('HSET', delivery, 'bytes', fields.bytes)
  if request and request ~= '' then redis.call('HSET', delivery, 'request', request) end
  for _, name in ipairs({'data', 'secret', 'events'}) do
    if fields[name] ~= '' then redis.call('HSET', delivery, name, fields[name]) end
  end
  list_delivery(at, id, ttl, limits)
  hold(at, id, fields.bytes, ttl)
end

-- Let a callback wait for its job. It counts once, however often its message is delivered.
local function await_callback(at, id, ...)
  if id == '' or redis.call('EXISTS', at.prefix .. id) == 1 then return end
  local limit = describe_delivery(at, id, ...)
  if not limit then redis.call('SADD', at.callbacks, id) end
  return limit
end

local function release_delivery(at, id, job_state, error)
  local delivery = at.prefix .. id
  redis.call('HSET', delivery, 'state', 'pending', 'job_state', job_state)
  if error ~= '' and redis.call('HEXISTS', delivery, 'events') == 1 then
    redis.call('HSET', delivery, 'error', error)
  end
  redis.call('ZADD', at.outbox, stamp(), id)
end

-- Keep the state of a delivery that is not sent again, and of its URL the part before the path.
local function drop_payload(at, id)
  local delivery = at.prefix .. id
  local bytes, url = unpack(redis.call('HMGET', delivery, 'bytes', 'url'))
  if bytes then let_go(at, id .. ':' .. bytes) end
  redis.call('HDEL', delivery, 'bytes', 'data', 'secret', 'events', 'error')
  redis.call('HSET', delivery, 'url', string.sub(string.match(url or '', '^[^/]*//[^/?#]*') or '', 1, 300))
end

local function is_wanted(delivery, job_state)
  local events, data = unpack(redis.call('HMGET', delivery, 'events', 'data'))
  if events then return string.find(events, job_state, 1, true) end
  return job_state == 'done' or not data
end

-- Make a callback due, or skip it: one with `data` wants another end than `done` only if it asks for it.
local function end_callback(at, id, job_state, error)
  local delivery = at.prefix .. id
  if is_wanted(delivery, job_state) then
    release_delivery(at, id, job_state, error)
  else
    redis.call('HSET', delivery, 'state', 'skipped')
    drop_payload(at, id)
  end
end

local function release_callbacks(at, job_state, error)
  for _, id in ipairs(redis.call('SMEMBERS', at.callbacks)) do end_callback(at, id, job_state, error) end
  redis.call('DEL', at.callbacks)
end

local function push_dead_letter(dead, max_dead, letter)
  redis.call('LPUSH', dead, letter)
  redis.call('LTRIM', dead, 0, max_dead - 1)
end

-- End the lease. The fragments of its attempt are no longer shown.
local function drop_lease(job)
  redis.call('HDEL', job, 'token', 'lease_until', 'worker', 'pieces')
end

local function is_of_account(owner) return string.sub(owner, 1, #account_prefix) == account_prefix end

-- Requests that wait for a job, `<request id> <owner>`. Beyond the limit they share one entry, those of accounts
-- another one. No client can cancel these two.
local function add_request(job, request)
  local requests = job .. requests_suffix
  if not is_kind(requests, 'set') then redis.call('DEL', requests) end
  if redis.call('SCARD', requests) >= max_requests then
    local owner = string.match(request, '^%S+ ?(.*)$')
    request = is_of_account(owner) and 'others ' .. account_prefix or 'others'
  end
  redis.call('SADD', requests, request)
end

-- List a job by the time of its latest request, and drop those that are forgotten.
local function list_job(index, job_id, ttl)
  redis.call('ZADD', index, stamp(), job_id)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', after(-ttl))
  redis.call('ZREMRANGEBYRANK', index, 0, -max_listed_jobs - 1)
  redis.call('EXPIRE', index, ttl)
end

-- Begin the record of a job anew. A job that was done keeps its facts until its work begins again: a worker may
-- find that the result is still in the store.
local function restart_job(job, state)
  redis.call('DEL', job .. requests_suffix)
  if state == 'done' then
    redis.call('PERSIST', job)
    redis.call('HDEL', job, 'attempts', 'stems', 'error', 'started_at', 'finished_at', 'finished_by', 'give_backs',
      'options')
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
  redis.call('DEL', job .. requests_suffix)
  redis.call('HDEL', job, 'payload', 'owner')
  redis.call('HSET', job, 'state', state, 'finished_at', stamp(), ...)
  redis.call('EXPIRE', job, ttl)
end

-- Append the end of a job to the history, as JSON of texts. Beyond the limit the oldest ends are dropped.
local ENDED_FIELDS = {'state', 'model', 'requested_model', 'device', 'attempts', 'options', 'created_at', 'enqueued_at',
  'started_at', 'finished_at', 'duration_s'}

local function record_end(history, job, job_id, weights)
  if not is_kind(history, 'list') then redis.call('DEL', history) end
  local values = redis.call('HMGET', job, unpack(ENDED_FIELDS))
  local ended = {job_id = job_id, weights = weights}
  for index, name in ipairs(ENDED_FIELDS) do ended[name] = values[index] or nil end
  ended.id = job_id .. '@' .. ended.finished_at
  local is_json, error = pcall(cjson.decode, redis.call('HGET', job, 'error') or '')
  if is_json and type(error) == 'table' and type(error.code) == 'string' then ended.error = error.code end
  redis.call('RPUSH', history, cjson.encode(ended))
  redis.call('LTRIM', history, -max_history, -1)
end

local function requeue(job, waiting, payload)
  drop_lease(job)
  redis.call('HSET', job, 'state', 'queued', 'progress', '0')
  redis.call('RPUSH', waiting, payload)
end

-- Fair order (start-time fair queueing with equal weights): each job has a turn, and the waiting list is in the order
-- of turns. An owner has one job a turn. `at` has the keys `waiting`, `order`, `turns`, their time
-- to live `ttl` and the prefix `job`.
local MAX_SEQUENCE = 67108864
-- No owner has this name.
local SEQUENCE = '#'

local function next_turn(at, owner)
  -- Nothing waits: every owner begins anew. Entries may have left the list without a step.
  if redis.call('LLEN', at.waiting) == 0 then redis.call('DEL', at.order, at.turns) end
  local first = redis.call('ZRANGE', at.order, 0, 0, 'WITHSCORES')
  return math.max(math.floor(tonumber(first[2] or 1)), number(at.turns, owner) + 1)
end

-- Owners whose turn has passed are as good as new ones.
local function forget_turns(at, turn)
  local turns = redis.call('HGETALL', at.turns)
  for index = 1, #turns, 2 do
    if turns[index] ~= SEQUENCE and tonumber(turns[index + 1]) < turn then
      redis.call('HDEL', at.turns, turns[index])
    end
  end
end

-- Push an entry behind all of its turn: it is the next one of the list after them, from the right.
local function push_in_turn(at, turn, owner, job_id, payload)
  local sequence = redis.call('HINCRBY', at.turns, SEQUENCE, 1)
  if sequence % 1000 == 0 then forget_turns(at, turn) end
  local is_pushed = false
  repeat
    local later = redis.call('ZRANGEBYSCORE', at.order, turn + 1, '+inf', 'LIMIT', 0, 1)[1]
    if later then
      local entry = redis.call('HGET', at.job .. later, 'payload')
      is_pushed = entry and redis.call('LINSERT', at.waiting, 'AFTER', entry, payload) > 0
      -- An entry that a worker of an earlier release took is still in the order.
      if not is_pushed then redis.call('ZREM', at.order, later) end
    else
      redis.call('LPUSH', at.waiting, payload)
      is_pushed = true
    end
  until is_pushed
  redis.call('ZADD', at.order, string.format('%.17g', turn + sequence % MAX_SEQUENCE / MAX_SEQUENCE), job_id)
  redis.call('HSET', at.turns, owner, turn)
  for _, key in ipairs({at.order, at.turns}) do redis.call('EXPIRE', key, at.ttl) end
  redis.call('HSET', at.job .. job_id, 'owner', owner)
end

-- Take a job out of the order. Its owner gets the turn back.
local function leave_order(at, job_id, owner)
  if redis.call('ZREM', at.order, job_id) == 1 and owner and number(at.turns, owner) > 0 then
    redis.call('HINCRBY', at.turns, owner, -1)
  end
end
