-- holds: reads an account's holds, some at a time; changes nothing.
--
-- KEYS 1-9, ARGV 1-3: see common.lua. Then 4 cursor, 0 to begin   5 about how many
--
-- Reply, one of
--   {holds, cursor, CallSid, packed hold, ...}   cursor: where to read on, 0 at the end
--   {unknown, why}                               the account is not in Redis
--
-- Worked example: two holds, count 10: {holds, 0, CA1, "...", CA2, "..."}.

local wallet, why = read_wallet()
if not wallet then return { 'unknown', why } end
local scanned = redis.call('HSCAN', HOLDS, ARGV[4], 'COUNT', whole(ARGV[5], 'how many'))
local reply = { 'holds', scanned[1] }
for _, word in ipairs(scanned[2]) do reply[#reply + 1] = word end
return reply
