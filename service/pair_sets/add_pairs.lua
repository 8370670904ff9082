-- Adds pairs to a set as one step: checked, counted, remembered and given its time, or refused.
--
-- KEYS  1 the owner's sets by when they are forgotten (ms)   2 the set's classifier and number of
--       pairs   3 its sums   4 fingerprints by idempotency key   5 those keys, oldest first
-- ARGV  1 name   2 classifier's digest   3 its reference   4 pairs to add   5 most pairs of a set
--       6 most sets of an owner   7 time to live, ms   8 idempotency key or ''   9 its fingerprint
--       10 most keys   11 number of sums to return   then their names   then name, value, ...
-- Returns {what became of it, what belongs to that}.
--
-- All reads come first: a key of another type fails there, before anything is written.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local num_sets = redis.call('ZCOUNT', KEYS[1], '(' .. string.format('%.0f', now), '+inf')
local digest, reference, held = unpack(redis.call('HMGET', KEYS[2], 'sha256', 'reference', 'pairs'))
local fingerprint = redis.call('HGET', KEYS[4], ARGV[8])
local num_keys = redis.call('LLEN', KEYS[5])
local first_name, num_names = 12, tonumber(ARGV[11])

local function sums()
  return redis.call('HMGET', KEYS[3], unpack(ARGV, first_name, first_name + num_names - 1))
end

if not digest and num_sets >= tonumber(ARGV[6]) then
  return {'too-many-sets', num_sets}
end
if digest and digest ~= ARGV[2] then
  return {'other-classifier', reference}
end
if fingerprint then
  if fingerprint ~= ARGV[9] then
    return {'key-reused', ARGV[8]}
  end
  return {'replayed', sums()}
end
if tonumber(held or '0') + tonumber(ARGV[4]) > tonumber(ARGV[5]) then
  return {'full', held}
end
sums()

redis.call('HSET', KEYS[2], 'sha256', ARGV[2], 'reference', ARGV[3])
redis.call('HINCRBY', KEYS[2], 'pairs', ARGV[4])
for place = first_name + num_names, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[3], ARGV[place], ARGV[place + 1])
end
if ARGV[8] ~= '' then
  redis.call('HSET', KEYS[4], ARGV[8], ARGV[9])
  redis.call('RPUSH', KEYS[5], ARGV[8])
  if num_keys >= tonumber(ARGV[10]) then
    redis.call('HDEL', KEYS[4], redis.call('LPOP', KEYS[5]))
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[7]), ARGV[1])
for place = 1, 5 do
  redis.call('PEXPIRE', KEYS[place], ARGV[7])
end
return {'added', sums()}
