-- KEYS own, dead
-- ARGV payload, dead letter, max dead
redis.call('LREM', KEYS[1], 1, ARGV[1])
lay_with_the_dead(KEYS[2], ARGV[3], ARGV[2])
return 1
