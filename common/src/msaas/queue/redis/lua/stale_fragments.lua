-- List the fragments of ended attempts: those that no job shows.
-- KEYS: all_fragments
-- ARGV: job_prefix
local stale = {}
for _, fragments in ipairs(redis.call('HVALS', all_fragments)) do
  if redis.call('HGET', job_prefix .. cjson.decode(fragments).job_id, 'pieces') ~= fragments then
    table.insert(stale, fragments)
  end
end
return stale
