-- KEYS pieces
-- ARGV key of a job (%s for its id)
-- Those that no job shows: their attempt is over.
local stale = {}
for _, pieces in ipairs(redis.call('HVALS', KEYS[1])) do
  if redis.call('HGET', string.format(ARGV[1], cjson.decode(pieces).job_id), 'pieces') ~= pieces then
    table.insert(stale, pieces)
  end
end
return stale
