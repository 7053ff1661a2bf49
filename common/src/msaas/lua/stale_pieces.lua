-- KEYS pieces
-- Those that no job shows: their attempt is over.
local stale = {}
for _, pieces in ipairs(redis.call('HVALS', KEYS[1])) do
  if redis.call('HGET', 'job:' .. cjson.decode(pieces).job_id, 'pieces') ~= pieces then
    table.insert(stale, pieces)
  end
end
return stale
