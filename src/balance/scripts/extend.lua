-- extend: lets a call that has a hold go on for longer, as far as the pool allows.
--
-- KEYS 1-9, ARGV 1-3: see common.lua. Then
--   4 operation   5 call_sid   6 asked: the call's total since answer   7 cap   8 ring   9 grace,
--   seconds      10 expire_max, holds
--
-- Reply, one of
--   {held, 1 changed or 0 as before, packed hold, account key}
--   {settled}        the call has ended
--   {absent}         it was not authorized: it has no hold, an expired one, or one of the stream
--   {unknown, why}   the wallet must be loaded first
--
-- The rate, the increments and the cycle stay those with which the call was allowed. Nothing is taken
-- back: a smaller request returns the present grant, final if no more could be had. A repeated
-- operation returns the same hold and is not applied twice.
--
-- A hold of the stream promises nothing. Only place decides, with the current terms, whether its call
-- is refused (a blocked destination, too little money for the initial length).
--
-- Worked example: granted 60 from a wallet with 140000 at 14000 a minute, asked 300: granted 300,
-- held 70000. Then asked 900: granted 600, held 140000, final.

-- The grant for a hold's call from the wallet's pool, with the hold's own amounts given back. `fields` as
-- read below.
local function grant_for(wallet, fields, hold, asked, cap)
  local held = held_allowance(wallet, hold.cycle) - hold.allowance
  local left = math.max(0, hold.included - whole(fields[15] or 0, 'used') - held)
  local others = wallet.held - hold.held
  local available = whole(fields[12], 'balance') + whole(fields[13], 'credit_limit')
  return (grant(left, whole(available - others, 'available'), budget_left(fields[14], others),
    hold.rate, hold.initial, hold.increment, hold.block == '1', asked, cap))
end

-- Writes the grant into the hold, and the difference into the wallet's sums. A hold lives for
-- ring time + granted time + grace, counted from its placing.
local function take(wallet, hold, granted, ring_seconds, grace_seconds)
  wallet.held = wallet.held + granted.held - hold.held
  wallet.cycles[hold.cycle] = held_allowance(wallet, hold.cycle) + granted.allowance - hold.allowance
  hold.granted, hold.final = granted.granted, granted.final
  hold.held, hold.allowance = granted.held, granted.allowance
  hold.valid_until = hold.placed_at + (ring_seconds + hold.granted) * 1000000
  hold.expires_at = hold.valid_until + grace_seconds * 1000000
  hold.revision = math.max(NOW, hold.revision + 1)
end

local operation, call_sid = ARGV[4], ARGV[5]
local asked, cap = whole(ARGV[6], 'asked'), whole(ARGV[7], 'cap')
local ring, grace = whole(ARGV[8], 'ring'), whole(ARGV[9], 'grace')

local packed = redis.call('HGET', HOLDS, call_sid)
local hold = packed and unpack_hold(packed)
local cycle = hold and hold.cycle or '-'
local wallet, fields = read_wallet('account', 'status', 'balance', 'credit_limit', 'budget', 'u:' .. cycle,
  'a:' .. cycle)
if not wallet then return { 'unknown', fields } end
local account, status = fields[10] + 0, fields[11]
wallet.cycles[cycle] = whole(fields[16] or 0, 'held allowance')
if wallet.incarnation < INCARNATION then return { 'unknown', 'incarnation' } end
if not hold then return { is_settled(call_sid, wallet) and 'settled' or 'absent' } end
if hold.source == 'stream' then return { 'absent' } end
if hold.operation == operation then return { 'held', 0, packed, account } end
if math.min(wallet.quiet_until, hold.expires_at) <= NOW then
  expire_due(wallet, whole(ARGV[10], 'expire_max'))
end
if redis.call('HEXISTS', HOLDS, call_sid) == 0 then return { 'absent' } end

local granted = status == 'open' and grant_for(wallet, fields, hold, asked, cap)
local attainable = granted and granted.attainable or 0
if asked <= hold.granted then
  -- Nothing to do, but `final` may have changed.
  hold.final = hold.granted >= attainable and '1' or '0'
  return { 'held', 0, pack_hold(hold), account }
end
hold.operation = operation
if attainable <= hold.granted then
  hold.final = '1'
  return { 'held', 0, write_hold(call_sid, hold, wallet.quiet_until), account }
end
take(wallet, hold, granted, ring, grace)
packed = write_hold(call_sid, hold, wallet.quiet_until)
write_sums(wallet)
return { 'held', 1, packed, account }
