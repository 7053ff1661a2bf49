-- KEYS own, dead
-- ARGV payload, dead letter, max dead
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 1 then
  lay_with_the_dead(KEYS[2], ARGV[3], ARGV[2])
end
return 1
