-- List every entry that waits or is with a worker, in one step: between two, an entry could move unseen.
-- KEYS: delayed, workers, waiting, alias
-- ARGV: processing_prefix
local entries = redis.call('ZRANGE', delayed, 0, -1)
local function add(list)
  for _, entry in ipairs(redis.call('LRANGE', list, 0, -1)) do table.insert(entries, entry) end
end
add(waiting)
add(alias)
for _, worker in ipairs(redis.call('ZRANGE', workers, 0, -1)) do add(processing_prefix .. worker) end
return entries
