-- Return the waiting entries from `offset` on, next first. A worker takes from the alias first.
-- KEYS: waiting, alias
-- ARGV: offset, limit
local skipped, left = tonumber(offset), limit == '' and math.huge or tonumber(limit)
local found = {}
for _, list in ipairs({alias, waiting}) do
  local length = redis.call('LLEN', list)
  local first = math.min(skipped, length)
  local taken = math.min(left, length - first)
  if taken > 0 then
    -- The next entry is the last of its list.
    local entries = redis.call('LRANGE', list, length - first - taken, length - first - 1)
    for at = #entries, 1, -1 do found[#found + 1] = entries[at] end
  end
  skipped, left = skipped - first, left - taken
end
return found
