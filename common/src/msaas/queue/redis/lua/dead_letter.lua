-- Move an invalid entry to the dead-letter list.
-- KEYS: processing, dead
-- ARGV: payload, letter, max_dead
if redis.call('LREM', processing, 1, payload) == 1 then
  push_dead_letter(dead, max_dead, letter)
end
return 1
