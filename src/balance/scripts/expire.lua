-- expire: releases a bounded number of holds that are due. Returns how many any script released since
-- the last such call, and the account's state.
--
-- KEYS 1-9, ARGV 1-3: see common.lua. Then 4 most holds to release, 0 to look only.
--
-- Reply, one of
--   {standing, expired, incarnation, version, charge_sequence, holds, held, account key, balance,
--    credit limit, unsure or '', and for a look: cycle, held seconds of its allowance, ...}
--   {unknown, why}
--
-- A hold that is due is counted here until it is released.
--
-- Worked example: three holds of 14000, two of them due, most 1: {standing, 1, ..., 2, 28000, ...}. If
-- place released one more just before: {standing, 2, ...}.

local wallet, fields = read_wallet('version', 'charge_sequence', 'account', 'balance', 'credit_limit',
  'unsure')
if not wallet then return { 'unknown', fields } end
local most = whole(ARGV[4], 'most')
local expired = 0
if most > 0 then
  expire_due(wallet, most)
  expired = whole(redis.call('HGET', WALLET, 'expired') or 0, 'expired')
  redis.call('HDEL', WALLET, 'expired')
end
local reply = { 'standing', expired, wallet.incarnation, fields[10] + 0, fields[11] + 0, wallet.holds,
  wallet.held, fields[12] + 0, whole(fields[13], 'balance'), whole(fields[14], 'credit_limit'),
  fields[15] or '' }
if most == 0 then
  for _, field in ipairs(redis.call('HKEYS', WALLET)) do
    if string.sub(field, 1, 2) == 'a:' then
      reply[#reply + 1] = string.sub(field, 3)
      reply[#reply + 1] = whole(redis.call('HGET', WALLET, field), 'held allowance')
    end
  end
end
return reply
