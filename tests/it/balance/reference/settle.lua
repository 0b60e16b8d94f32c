-- settle, written plainly. settle.lua must answer and change the same.

local from, to = whole(ARGV[4], 'from'), whole(ARGV[5], 'to')
local charge_sequence = whole(ARGV[6], 'charge_sequence')
local balance, credit_limit = whole(ARGV[7], 'balance'), whole(ARGV[8], 'credit_limit')
local cycles, at_sids = list_from(15)
local twilio_sids, at_calls = list_from(at_sids)
local call_sids = list_from(at_calls)
assert(to >= from, 'a projection goes forward')

remember_settled(call_sids)
local wallet, why = read_wallet()
if wallet and wallet.incarnation < INCARNATION then wallet, why = nil, 'incarnation' end
if not wallet then
  -- A load that read the ledger before this change must not bring the older wallet.
  remember_projected(to)
  return { 'unknown', why }
end
if wallet.incarnation > INCARNATION then return { 'newer', wallet.incarnation } end
if to <= wallet.version then return { 'stale', wallet.version } end
if from > wallet.version then return { 'gap', wallet.version, wallet.charge_sequence } end

local settled = 0
if wallet.holds > 0 then
  for _, call_sid in ipairs(call_sids) do
    local packed = redis.call('HGET', HOLDS, call_sid)
    if packed then
      release(wallet, call_sid, packed)
      settled = settled + 1
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
