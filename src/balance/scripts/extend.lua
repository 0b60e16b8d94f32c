-- extend: lets a call that has a hold go on for longer, as far as the pool allows.
--
-- KEYS 1-9, ARGV 1-3: see common.lua. Then
--   4 operation   5 call_sid   6 asked: the call's total since answer   7 cap   8 ring   9 grace,
--   seconds      10 expire_max, holds
--
-- Reply, one of
--   {held, 1 changed or 0 as before, packed hold, account key}
--   {settled}        the call is over
--   {absent}         it was not authorized: no hold was placed, it expired, or the stream made it
--   {unknown, why}   the wallet must be loaded first
--
-- The rate, the increments and the cycle stay those of the instant at which the call was allowed.
-- Nothing is taken back: the answer is then the standing grant, final where no more could be had by
-- asking. The operation that was applied last is answered again and not applied twice.
--
-- A hold that the stream made is a promise to nobody. Whether its call is refused (a blocked
-- destination, too little money for the initial length) only place decides, with the terms of now.
--
-- Worked example: granted 60 of a wallet that had 140000 at 14000 a minute, asked 300: granted 300,
-- held 70000. Asked 900 then: granted 600, held 140000, final.

local operation, call_sid = ARGV[4], ARGV[5]
local asked, cap = whole(ARGV[6], 'asked'), whole(ARGV[7], 'cap')
local ring, grace = whole(ARGV[8], 'ring'), whole(ARGV[9], 'grace')

local packed = redis.call('HGET', HOLDS, call_sid)
local hold = packed and unpack_hold(packed)
local wallet, why = read_wallet(hold and hold.cycle)
if not wallet then return { 'unknown', why } end
if wallet.incarnation < INCARNATION then return { 'unknown', 'incarnation' } end
if not hold then return { is_settled(call_sid) and 'settled' or 'absent' } end
if hold.source == 'stream' then return { 'absent' } end
if hold.operation == operation then return { 'held', 0, packed, wallet.account } end
expire_due(wallet, whole(ARGV[10], 'expire_max'))
if redis.call('HEXISTS', HOLDS, call_sid) == 0 then return { 'absent' } end

local granted = wallet.status == 'open' and grant_for(wallet, hold, asked, cap)
local attainable = granted and granted.attainable or 0
if asked <= hold.granted then
  -- Nothing to do; only whether more could be had may be another answer by now.
  hold.final = hold.granted >= attainable and '1' or '0'
  return { 'held', 0, pack_hold(hold), wallet.account }
end
hold.operation = operation
if attainable <= hold.granted then
  hold.final = '1'
  return { 'held', 0, write_hold(call_sid, hold), wallet.account }
end
take(wallet, hold, granted, ring, grace)
packed = write_hold(call_sid, hold)
write_sums(wallet)
return { 'held', 1, packed, wallet.account }
