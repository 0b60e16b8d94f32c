-- announce: announces the load of an account, and returns a ticket, which is lost when Redis loses
-- its memory.
--
-- KEYS 1-9, ARGV 1-3: see common.lua. Then 4 a name for the ticket, if there is none.
--
-- Reply: {announced, ticket}. While a ticket exists, every announcement returns the same one.
--
-- Worked example: name a1: {announced, "<epoch> a1"}; within ten seconds, name b2: the same.

local ticket = redis.call('GET', LOADING)
if not ticket or string.sub(ticket, 1, #EPOCH + 1) ~= EPOCH .. ' ' then
  ticket = EPOCH .. ' ' .. ARGV[4]
end
redis.call('SET', LOADING, ticket, 'EX', 10)
return { 'announced', ticket }
