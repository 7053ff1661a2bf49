-- KEYS delayed, workers, lists of waiting entries ...
-- ARGV own prefix
-- In one step: between two an entry could move from a list not yet read to one already read.
local entries = redis.call('ZRANGE', KEYS[1], 0, -1)
local function add(list)
  for _, entry in ipairs(redis.call('LRANGE', list, 0, -1)) do table.insert(entries, entry) end
end
for index = 3, #KEYS do add(KEYS[index]) end
for _, worker in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do add(ARGV[1] .. worker) end
return entries
