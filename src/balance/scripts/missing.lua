-- missing: returns the calls that have neither a hold nor an end in Redis; changes nothing.
--
-- KEYS 1-9, ARGV 1-3: see common.lua. Then a list, a count and its members: CallSids.
--
-- Reply, one of
--   {missing, CallSid, ...}
--   {unknown, why}   there is no wallet to compare; the next load reads the journal
--
-- Worked example: CA1 has a hold, CA2 was charged; asked for CA1, CA2, CA3: {missing, CA3}.

local wallet, why = read_wallet()
if not wallet then return { 'unknown', why } end
local reply = { 'missing' }
for _, call_sid in ipairs((list_from(4))) do
  if redis.call('HEXISTS', HOLDS, call_sid) == 0 and not is_settled(call_sid, wallet) then
    reply[#reply + 1] = call_sid
  end
end
return reply
