-- remember: brings back calls that are over and that the load after a loss had no room for.
--
-- KEYS 1-9, ARGV 1-3: see common.lua. Then
--   4 unsure   how far back they were read when this was read on
--   5 next     how far they are now, '' where all of them are here with this
--   then a list, a count and its members: CallSids that are over
--
-- Reply, one of
--   {remembered}
--   {changed}        others went on meanwhile; these are remembered, the mark stays
--   {unknown, why}   the wallet must be loaded first
--
-- Worked example: unsure "9000 0 ", next "7000 0 ", two CallSids: {remembered}; the same again:
-- {changed}.

remember_settled((list_from(6)))
local wallet, why = read_wallet()
if not wallet then return { 'unknown', why } end
if wallet.unsure ~= ARGV[4] then return { 'changed' } end
if ARGV[5] == '' then
  redis.call('HDEL', WALLET, 'unsure')
else
  redis.call('HSET', WALLET, 'unsure', ARGV[5])
end
return { 'remembered' }
