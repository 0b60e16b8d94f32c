-- settle: projects a wallet from one version of the ledger to a later one, and settles the holds of
-- all calls charged in between, in one step.
--
-- KEYS 1-9, ARGV 1-3: see common.lua. Then
--   4 from   version that Redis may have: every change after it is in here
--   5 to     version of this projection    6 charge_sequence   number of the last charge
--   7 balance   8 credit_limit             9 whole: 1 if 10 to 13 and the AccountSids are given
--  10 status   11 calls_max, '' for none  12 terms   13 document
--  14 budget   of calls that it stops: "left monthly ends", '' for none
--   then three lists, each a count and its members:
--   cycle, used seconds, ... of the cycles that changed; AccountSids; CallSids that were charged
--
-- Reply, one of
--   {projected, settled holds}
--   {stale, version}                  Redis has this version or a later one; nothing changed
--   {gap, version, charge_sequence}   Redis is further back than `from`; nothing changed
--   {unknown, why}                    there is no wallet to project on; it is loaded when needed
--   {newer, incarnation}              the ledger went back in time since the caller looked
-- The calls are remembered as ended in every case.
--
-- Worked example: a wallet at version 4 holds 28000 for CA1; from 4 to 5, balance 2000, CA1:
-- {projected, 1}, and held is 0. The same again: {stale, 5}. From 7 to 8: {gap, 5, n}.

local from, to = whole(ARGV[4], 'from'), whole(ARGV[5], 'to')
local charge_sequence = whole(ARGV[6], 'charge_sequence')
local balance, credit_limit = whole(ARGV[7], 'balance'), whole(ARGV[8], 'credit_limit')
local cycles, at_sids = list_from(15)
local twilio_sids, at_calls = list_from(at_sids)
local call_sids = list_from(at_calls)
assert(to >= from, 'a projection goes forward')

local wallet, fields = read_wallet('version', 'charge_sequence')
remember_settled(call_sids, wallet)
if fields == 'torn' then wallet, fields = read_wallet('version', 'charge_sequence') end
if wallet and wallet.incarnation < INCARNATION then wallet, fields = nil, 'incarnation' end
if not wallet then
  -- A load that read the ledger before this change must not bring the older wallet.
  remember_projected(to)
  return { 'unknown', fields }
end
if wallet.incarnation > INCARNATION then return { 'newer', wallet.incarnation } end
local version = whole(fields[10], 'version')
if to <= version then return { 'stale', version } end
if from > version then return { 'gap', version, whole(fields[11], 'charge_sequence') } end

local settled, released = 0, {}
if wallet.holds > 0 then
  for first = 1, #call_sids, 1000 do
    local last = math.min(first + 999, #call_sids)
    local found = redis.call('HMGET', HOLDS, unpack(call_sids, first, last))
    for index, packed in ipairs(found) do
      local call_sid = call_sids[first + index - 1]
      -- Two Twilio accounts may have used the same CallSid.
      if packed and not released[call_sid] then
        release(wallet, call_sid, packed)
        released[call_sid] = true
        settled = settled + 1
      end
    end
  end
end
if settled > 0 then write_sums(wallet) end
redis.call('HSET', WALLET, 'version', to, 'charge_sequence', charge_sequence,
  'balance', balance, 'credit_limit', credit_limit, 'budget', ARGV[14])
write_cycles(cycles)
if ARGV[9] == '1' then
  redis.call('HSET', WALLET, 'status', ARGV[10], 'calls_max', ARGV[11], 'terms', ARGV[12],
    'document', ARGV[13])
  for _, field in ipairs(redis.call('HKEYS', WALLET)) do
    if string.sub(field, 1, 2) == 's:' then redis.call('HDEL', WALLET, field) end
  end
  for _, sid in ipairs(twilio_sids) do redis.call('HSET', WALLET, 's:' .. sid, 1) end
end
return { 'projected', settled }
