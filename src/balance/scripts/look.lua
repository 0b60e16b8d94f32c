-- look: tells what an account's calls in progress hold; changes nothing.
--
-- KEYS 1-9, ARGV 1-3: see common.lua.
--
-- Reply, one of
--   {standing, version, holds, held, count of words, cycle, held seconds, ...}
--   {unknown, why}   what is held must be asked of the journal
--
-- A hold that is due counts until it is released, as it does for all who ask.
--
-- Worked example: version 4, one hold of 28000 and 20 s of the allowance of cycle 7:0:
-- {standing, 4, 1, 28000, 2, 7:0, 20}.

local wallet, why = read_wallet()
if not wallet then return { 'unknown', why } end
if wallet.incarnation < INCARNATION then return { 'unknown', 'incarnation' } end
local cycles = {}
for _, field in ipairs(redis.call('HKEYS', WALLET)) do
  if string.sub(field, 1, 2) == 'a:' then
    cycles[#cycles + 1] = string.sub(field, 3)
    cycles[#cycles + 1] = whole(redis.call('HGET', WALLET, field), 'held allowance')
  end
end
return { 'standing', wallet.version, wallet.holds, wallet.held, #cycles, unpack(cycles) }
