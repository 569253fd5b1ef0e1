-- Who shares the ledger: keeps the caller in the list of the living, and forgets who has not been heard of.
--
-- KEYS  the list: a sorted set, the score is when the member was last heard of, by the server's clock.
-- ARGV  the member, milliseconds after which one is forgotten, 1 to stay or 0 to leave.
-- Gives how many there are.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

if ARGV[3] == '1' then
  redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now - ARGV[2]))
return redis.call('ZCARD', KEYS[1])
