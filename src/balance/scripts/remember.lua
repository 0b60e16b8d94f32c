-- remember: brings back ended calls that did not fit into the load after a loss.
--
-- KEYS 1-9, ARGV 1-3: see common.lua. Then
--   4 unsure   the mark from which these were read on
--   5 next     the next mark, '' if these complete the ended calls
--   then a list, a count and its members: CallSids of ended calls
--
-- Reply, one of
--   {remembered}
--   {changed}        another process moved the mark; these are remembered, the mark stays
--   {unknown, why}   the wallet must be loaded first
--
-- Worked example: unsure "9000 0 ", next "7000 0 ", two CallSids: {remembered}; the same again:
-- {changed}.

remember_settled((list_from(6)))
local wallet, fields = read_wallet('unsure')
if not wallet then return { 'unknown', fields } end
if fields[10] ~= ARGV[4] then return { 'changed' } end
if ARGV[5] == '' then
  redis.call('HDEL', WALLET, 'unsure')
else
  redis.call('HSET', WALLET, 'unsure', ARGV[5])
end
return { 'remembered' }
