-- List the fragments of ended attempts: those that no job shows.
-- KEYS: all_fragments
-- ARGV: job_prefix
local stale = {}
for _, fragments in ipairs(redis.call('HVALS', all_fragments)) do
  local job = job_prefix .. cjson.decode(fragments).job_id
  if not is_kind(job, 'hash') or redis.call('HGET', job, 'pieces') ~= fragments then
    table.insert(stale, fragments)
  end
end
return stale
